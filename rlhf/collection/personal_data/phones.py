"""Telephone numbers: the strict national forms, those behind + or 00, and any behind words that announce one."""

import re
from collections.abc import Iterator

from rlhf.collection.languages.detection import HAN
from rlhf.collection.personal_data.found import Found, before, digits_of

# Forms that are seldom anything else.
NORTH_AMERICAN = r"(?<![\d.$-])(?:\+?1[-. ]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}(?![\d-]|\.\d)"
CHINESE_MOBILE = (
    r"(?<![\d.-])(?:\+?86[- ]?)?1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])"
    r"(?:\d{8}|-\d{4}-\d{4}| \d{4} \d{4})(?![\d-]|\.\d)"
)
CHINESE_LANDLINE = r"(?<![\d.-])(?:\(0\d{2,3}\) ?|0\d{2,3}-)\d{7,8}(?![\d-]|\.\d)"
IN_PAIRS = r"(?<![\d.-])0[1-9](?P<gap>[ .-])\d\d(?:(?P=gap)\d\d){3}(?![\d-])"  # France
BRITISH = r"(?<![\d.-])(?:07\d{3} \d{3} ?\d{3}|0[12]\d{1,3} \d{3,4} \d{4}|01\d{3} \d{6})(?![\d-])"
STRICT = re.compile(
    f"{NORTH_AMERICAN}|(?P<chinese>{CHINESE_MOBILE})|{CHINESE_LANDLINE}|{IN_PAIRS}|{BRITISH}",
    re.ASCII,
)
INTERNATIONAL = re.compile(r"(?<![\w+])(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,14}(?!\d)", re.ASCII)
ANNOUNCED = re.compile(r"(?<![\w.,+(-])[+(]?\d(?:[ .()/-]{0,2}\d){6,13}(?![\w-]|[.,]\d)", re.ASCII)

ANNOUNCING = re.compile(
    r"(?:phone|\btel\b|telephone|mobile|\bcell\b|whatsapp|\bfax\b|\b(?:call|text|ring|reach|dial|contact)(?:ing)?\b"
    r"|\bmy (?:new )?number is|téléphone|teléfono|telefon|handynummer|numéro|电话|手机|座机|联系|致电|电話|携帯|전화)"
    rf"[^\d{HAN}]{{0,30}}[{HAN}]{{0,4}}[^\d{HAN}]{{0,4}}\Z",
    re.IGNORECASE | re.ASCII,
)
PERSONALLY = re.compile(
    r"(?:(?:phone|telephone|mobile|cell|whatsapp|contact)(?: (?:number|no\.?|phone))?(?: is)?[ :=\"']{1,4}\+?"
    r"|\b(?:tel|fax|telefon|téléphone|teléfono|handynummer|mobil|portable)\.?[ :]{1,3}"
    r"|\b(?:call|text|ring|reach|dial|contact|phone)(?: (?:me|us|him|her|them|my \w{2,12}|your \w{2,12}))?(?: back)?"
    r"(?: (?:at|on))[: ]{1,2}|\bmy (?:new )?number is[: ]{1,2}|numéro est(?: le)?[: ]{1,2}"
    r"|nummer ist(?: die)?[: ]{1,2}|número es(?: el)?[: ]{1,2}"
    rf"|(?:电话|手机|座机|联系方式|致电|拨打)[{HAN}]{{0,3}}[ :：]{{0,2}}|(?:電話|携帯)[^\d]{{0,4}}|전화[^\d]{{0,6}})\Z",
    re.IGNORECASE | re.ASCII,
)
DIRECTLY = re.compile(
    r"\b(?:call|text|ring|dial|phone) \Z", re.IGNORECASE | re.ASCII
)  # such words take objects as well
COUNTED = re.compile(
    r"(?:\b(?:order|invoice|ref|reference|isbn|issn|serial|part|model|tracking|ticket|sku|version|case|id|item|doi"
    r"|receipt|batch)\b"
    r"|订单|单号|型号|编号|版本|序列号|快递)[^\n\d]{0,12}\Z",
    re.IGNORECASE | re.ASCII,
)
SUM_BEFORE = re.compile(r"(?:[*/×÷^√$€£¥%§]|[\d)][ ]?[-+=])[ ]?\Z")
SUM_AFTER = re.compile(r"[ ]?(?:[*/×÷^=%°]|\+[ ]?\d)")
IN_CHINESE = re.compile(f"[{HAN}]")

# Nobody's: numbers for films and books, of regulators (Ofcom, ACMA, ARCEP) and of the North American plan, without +.
FICTION = (
    "442079460", "441632960", "447700900", "441134960", "441144960", "441154960", "441164960", "441174960", "441184960",
    "441214960", "441314960", "441414960", "441514960", "441614960", "441914980", "6125550", "6135550", "6137010",
    "614915701", "6175550", "6185550", "3319900", "3326191", "3335301", "3346571", "3353649", "3363998",
)  # fmt: skip
FICTION_AT_HOME = tuple(f"0{number[2:]}" for number in FICTION if number.startswith(("44", "33")))
TOLL_FREE = {"800", "888", "877", "866", "855", "844", "833", "822"}


def phones(text: str) -> Iterator[Found]:
    """Yield the telephone numbers of a text."""
    for match in STRICT.finditer(text):
        if _is_dialled(text, match.start(), match.end()) and _speaks_for_itself(text, match):
            yield Found(match.start(), match.end(), _is_nobodys(digits_of(match.group())))
    if "+" in text or "00" in text:
        yield from _international(text)
    for match in ANNOUNCED.finditer(text):
        digits, earlier = digits_of(match.group()), before(text, match.start(), 48)
        announced = PERSONALLY.search(earlier) or (len(digits) >= 10 and DIRECTLY.search(earlier))
        if announced and not SUM_AFTER.match(text, match.end()):
            yield Found(match.start(), match.end(), _is_nobodys(digits))


def _speaks_for_itself(text: str, match: re.Match[str]) -> bool:
    """Say whether a strict form needs no words around it: Chinese mobile numbers look like other numbers elsewhere."""
    if match["chinese"] is None or "86" in match.group()[:3]:
        return True
    around = text[max(match.start() - 40, 0) : match.end() + 40]
    return IN_CHINESE.search(around) is not None or ANNOUNCING.search(before(text, match.start(), 48)) is not None


def _is_dialled(text: str, start: int, end: int) -> bool:
    """Say whether a number is no part of a sum, a price, an order, by what stands beside it; and not binary."""
    if set(digits_of(text[start:end])) <= {"0", "1"}:
        return False
    earlier = before(text, start, 48)
    if ANNOUNCING.search(earlier):
        return not SUM_AFTER.match(text, end)
    return not (SUM_BEFORE.search(earlier) or SUM_AFTER.match(text, end) or COUNTED.search(earlier))


def _international(text: str) -> Iterator[Found]:
    import phonenumbers  # a tenth of a second, which few texts need

    for match in INTERNATIONAL.finditer(text):
        number = match.group()
        if not _is_dialled(text, match.start(), match.end()):
            continue
        for _ in range(3):  # what follows a number may look like a further group of it
            plus = number if number.startswith("+") else f"+{number[2:]}"
            try:
                parsed = phonenumbers.parse(plus)
            except phonenumbers.NumberParseException:
                break
            if phonenumbers.is_valid_number(parsed):
                free = phonenumbers.number_type(parsed) in (
                    phonenumbers.PhoneNumberType.TOLL_FREE,
                    phonenumbers.PhoneNumberType.PREMIUM_RATE,
                    phonenumbers.PhoneNumberType.SHARED_COST,
                )
                yield Found(match.start(), match.start() + len(number), free or _is_nobodys(digits_of(plus)))
                break
            number = re.sub(r"[ .()/-]+\d+\Z", "", number)


def _is_nobodys(digits: str) -> bool:
    """Say whether digits are of a number for fiction, of a free one, or such that people type for any number."""
    national = digits.removeprefix("00")
    if national.startswith(FICTION) or digits.startswith(FICTION_AT_HOME):
        return True
    american = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(american) == 10 and (american[:3] in TOLL_FREE or american[3:6] == "555"):
        return True
    return _is_typed_for_any(digits)


def _is_typed_for_any(digits: str) -> bool:
    steps = [(int(second) - int(first)) % 10 for first, second in zip(digits, digits[1:], strict=False)]
    for step in (0, 1, 9):
        longest = max(map(len, "".join("x" if one == step else " " for one in steps).split()), default=0)
        if longest >= 6:
            return True
    return False
