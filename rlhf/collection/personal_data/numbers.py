"""Numbers that name a person or an account: their lengths and check digits are held against the rules for each."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rlhf.collection.personal_data.found import Found, before, digits_of

CARD = re.compile(
    r"(?<![\w.-])(?:[3-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}"
    r"|3[47]\d\d([ -]?)\d{6}\2\d{5}|3[068]\d\d([ -]?)\d{6}\3\d{4})(?![\w-]|\.\d)",
    re.ASCII,
)
CARDS = (  # (first digits, lengths), by the networks' own lists
    (r"4", {13, 16, 19}), (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", {16}), (r"3[47]", {15}),
    (r"30[0-5]|3[68]", {14}), (r"352[89]|35[3-8]", {16}), (r"6011|64[4-9]|65", {16, 19}), (r"62", {16, 17, 18, 19}),
)  # fmt: skip
TEST_CARDS = {  # that payment processors publish
    "4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4222222222222", "4444333322221111",
    "5555555555554444", "5105105105105100", "5200828282828210", "5500005555555559", "5500000000000004",
    "2223003122003222", "378282246310005", "371449635398431", "340000000000009", "6011111111111117", "6011000990139424",
    "6011000000000004", "30569309025904", "38520000023237", "3056930009020004", "3530111333300000", "3566002020360505",
    "6200000000000005",
}  # fmt: skip

IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
EXAMPLE_IBANS = {
    "GB82WEST12345698765432", "GB29NWBK60161331926819", "GB33BUKB20201555555555", "DE89370400440532013000",
    "FR1420041010050500013M02606", "NL91ABNA0417164300", "CH9300762011623852957", "ES9121000418450200051332",
    "BE68539007547034", "IT60X0542811101000000123456",
}  # fmt: skip

SOCIAL_SECURITY = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-]|\.\d)", re.ASCII)
ANNOUNCED_SOCIAL_SECURITY = re.compile(
    r"\b(?:SSN|social security)[^\d\n]{0,24}((?!000|666|9)\d{3}[ .]?(?!00)\d\d[ .]?(?!0000)\d{4})(?!\d)",
    re.IGNORECASE | re.ASCII,
)
EXAMPLE_SOCIAL_SECURITY = {"078051120", "219099999", "457555462", "123456789", "111111111", "123121234"}
NATIONAL_INSURANCE = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r"(?P<gap> ?)\d\d(?P=gap)\d\d(?P=gap)\d\d(?P=gap)[A-D](?![A-Za-z0-9])"
)
INSURED = re.compile(r"\b(?:NINO|NI (?:no\b|number)|national insurance)[^\d\n]{0,20}\Z", re.IGNORECASE | re.ASCII)
ANNOUNCED_PAPERS = re.compile(
    r"(?:\bpassport(?: (?:number|no\.?))?|driver'?s licen[cs]e(?: (?:number|no\.?))?|护照号?码?|passeport"
    r"|reisepass(?:nummer)?)"
    r"(?: is| n°)?[ :：是#]{0,3}((?=[A-Z\d]{0,4}\d{4})[A-Z\d]{7,13})(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
CHINESE = re.compile(r"(?<![\d.-])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![\d-])")
KOREAN = re.compile(r"(?<![\d.-])\d{6}-[1-4]\d{6}(?![\d-])")
BRAZILIAN = re.compile(r"(?<![\d.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\d-])")
FRENCH = re.compile(r"(?<![\d.-])[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}(?![\d-])")
INDIAN = re.compile(r"(?<![\d.-])[2-9]\d{3}([ -]?)\d{4}\1\d{4}(?![\d-])")
AADHAAR = re.compile(r"aadhaar[^\n\d]{0,24}\Z", re.IGNORECASE)
SPANISH = re.compile(r"(?<![\w.-])\d{8}-?[A-Z](?![\w-])", re.ASCII)
DNI = re.compile(r"\bDNI\b[^\n\d]{0,16}\Z", re.IGNORECASE)


class Checked(NamedTuple):
    """A national number: its form, the words that must announce it (none: the form is enough), and its checks."""

    form: re.Pattern[str]
    words: re.Pattern[str] | None
    is_valid: Callable[[str], bool]


def cards(text: str) -> Iterator[Found]:
    """Yield card numbers: a network's first digits, its length, and the check digit (ISO/IEC 7812-1)."""
    for match in CARD.finditer(text):
        digits = digits_of(match.group())
        right = any(re.match(first, digits) and len(digits) in lengths for first, lengths in CARDS)
        if right and luhn(digits) and len(set(digits)) > 1:
            yield Found(match.start(), match.end(), digits in TEST_CARDS)


def luhn(digits: str) -> bool:
    """Return whether a number's check digit is right (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def ibans(text: str) -> Iterator[Found]:
    """Yield account numbers (ISO 13616): the country's length and structure, and the check digits."""
    from stdnum import iban

    for match in IBAN.finditer(text):
        number = match.group()
        for _ in range(4):  # a word in capitals behind it looks like a further group
            if iban.is_valid(number, check_country=False):
                is_example = number.replace(" ", "") in EXAMPLE_IBANS
                yield Found(match.start(), match.start() + len(number), is_example)
                break
            number = number.rpartition(" ")[0]


def id_numbers(text: str) -> Iterator[Found]:
    """Yield numbers of identity papers, of social security and of national insurance."""
    for match in SOCIAL_SECURITY.finditer(text):
        yield Found(match.start(), match.end(), digits_of(match.group()) in EXAMPLE_SOCIAL_SECURITY)
    lowered = text.lower()
    if "ssn" in lowered or "social" in lowered:
        for match in ANNOUNCED_SOCIAL_SECURITY.finditer(text):
            yield Found(match.start(1), match.end(1), digits_of(match[1]) in EXAMPLE_SOCIAL_SECURITY)
    for match in NATIONAL_INSURANCE.finditer(text):
        if match["gap"] or INSURED.search(before(text, match.start(), 40)):
            yield Found(match.start(), match.end(), digits_of(match.group()) in ("123456", "000000"))
    if any(word in lowered for word in ("passport", "licen", "护照", "passeport", "reisepass")):
        yield from (Found(match.start(1), match.end(1)) for match in ANNOUNCED_PAPERS.finditer(text))
    for kind in _national():
        for match in kind.form.finditer(text):
            announced = kind.words is None or kind.words.search(before(text, match.start(), 40))
            if announced and kind.is_valid(match.group()):
                yield Found(match.start(), match.end(), match.group() == "11010519491231002X")  # the standard's example


@functools.cache
def _national() -> tuple[Checked, ...]:
    from stdnum.br import cpf
    from stdnum.cn import ric
    from stdnum.es import dni
    from stdnum.fr import nir
    from stdnum.in_ import aadhaar
    from stdnum.kr import rrn

    return (
        Checked(CHINESE, None, ric.is_valid),
        Checked(KOREAN, None, rrn.is_valid),
        Checked(BRAZILIAN, None, cpf.is_valid),
        Checked(FRENCH, None, nir.is_valid),
        Checked(INDIAN, AADHAAR, aadhaar.is_valid),
        Checked(SPANISH, DNI, dni.is_valid),
    )
