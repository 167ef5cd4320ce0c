"""What is done to each record by itself: normal form, language, lengths, personal data (Ouyang et al. 2022, App. A)."""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.params.collect_prompts import Cleaning, Documents, Limits, PersonalData
from rlhf.records.types import DialogueRecord, Document, Message

# Control characters but newline and tab, byte-order marks and zero-width spaces (joiners are letters' business: kept).
REMOVED = {code: None for code in [*range(0x20), *range(0x7F, 0xA0), 0xFEFF, 0x200B] if code not in (0x09, 0x0A)}
REMOVED_PATTERN = re.compile(f"[{''.join(re.escape(chr(code)) for code in REMOVED)}]")
HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['’][^\W_{HAN}]+)*")
HAN_WORD = re.compile(rf"[{HAN}]")
LATIN_WORD = re.compile(r"[a-zA-Z\u00c0-\u024f]+")
LETTERS = re.compile(r"[^\W\d_]")

# Only whether one stands there is asked: its first part is known by its last character, and none is read twice.
EMAIL = re.compile(r"[\w.+-]@[\w-]++\.[\w-]")
PHONES = re.compile(
    r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)"  # Chinese mobile
    r"|(?<![\d-])0\d{2,3}-\d{7,8}(?!\d)"  # Chinese landline
    r"|(?<![\d.$-])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\d-])"  # North American
    r"|(?<!\w)\+\d{1,3}(?:[ .-]?\(?\d{2,4}\)?){2,4}(?!\d)"  # international, with its plus sign
)
CARD = re.compile(r"(?<![\d.-])[3-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d.-])")
ID_NUMBERS = re.compile(
    r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"  # US social security
    r"|(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)"  # Chinese identity
)
IP_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
SUSPICION = re.compile(r"@|\d[\d ().+-]{5,}\d")  # one cheap look; every pattern above implies it

# The characters that are no combining mark and whose canonical decomposition begins with one.
DISGUISED = {"\u0f73": "\u0f71\u0f72", "\u0f75": "\u0f71\u0f74", "\u0f81": "\u0f71\u0f80"}
MANY_MARKS = re.compile(r"[^\w\x00-\x7f]{32,}")  # and what else is no letter
SPAN = 1 << 16  # characters that are looked at together


def clean_record(record: DialogueRecord, params: Cleaning) -> DialogueRecord:
    """Return a prompt, demonstration or comparison in normal form and with its language.

    Responses of a comparison that break the length limits stay in; `rankings.within` takes them out.
    Raises Dropped with the reason (empty_prompt, language_xx, prompt_too_long, personal_data_email, ...).
    """
    turns: list[Message] = [{**turn, "content": normal(turn["content"], params)} for turn in record["messages"]]
    if not all(turn["content"] for turn in turns):
        raise Dropped("empty_prompt")
    cleaned: Any = {**record, "messages": turns}
    responses: list[str] = []
    if record["kind"] == "demonstration":
        cleaned["response"] = normal(record["response"], params)
        check_response(cleaned["response"], params.response_characters)
        responses = [cleaned["response"]]
    elif record["kind"] == "comparison":
        responses = cleaned["responses"] = [normal(response, params) for response in record["responses"]]
    prompt = "\n".join(turn["content"] for turn in turns)
    cleaned["language"] = record["language"] or language_of(prompt)
    check_language(cleaned["language"], params.languages)
    check_length("prompt", len(prompt), params.prompt_characters)
    check_words(prompt, params.prompt_words)
    for text in [prompt, *responses]:
        check_personal_data(text, params.personal_data)
    return cleaned


def clean_document(document: Document, cleaning: Cleaning, params: Documents) -> Document:
    """Return a pretraining document in normal form; raises Dropped with the reason."""
    text = normal(document["text"], cleaning)
    if len(text) < max(params.characters.min, 1):
        raise Dropped("document_too_short" if text else "empty_document")
    check_language(language_of(text[:2000]), cleaning.languages)
    check_personal_data(text, params.personal_data)
    return {**document, "text": text}


def normal(text: str, params: Cleaning) -> str:
    """Return text trimmed, and if params say so in Unicode's NFC with \\n line ends and no control characters."""
    if not params.normalise:
        return text.strip()
    text = nfc(text).replace("\r\n", "\n").replace("\r", "\n")
    if REMOVED_PATTERN.search(text):
        text = text.translate(REMOVED)
    return text.strip()


def nfc(text: str) -> str:
    """Return text in Unicode's form NFC, in time that grows as the text does.

    `unicodedata` sorts a run of combining marks by insertion; a long run is given to it in order (UAX #15: by class,
    equal ones as they stood), which is the same text to Unicode.
    """
    if text.isascii():
        return text
    for mark, parts in DISGUISED.items():
        text = text.replace(mark, parts)
    return unicodedata.normalize("NFC", MANY_MARKS.sub(_in_order, text))


def _in_order(run: re.Match[str]) -> str:
    groups = groupby(run.group(), lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(group, key=unicodedata.combining) if marks else group) for marks, group in groups)


def words(text: str) -> list[str]:
    """Return the words of a text; a Han character counts as a word."""
    return WORD.findall(text)


def language_of(text: str) -> str:
    """Return zh or en by script, other for a third script, und where there are no letters.

    A Han character weighs as much as a Latin word: instructions in Chinese about an English sentence are Chinese. Any
    Latin script counts as en; declare a source's language to tell French from English.
    """
    if text.isascii():
        return "en" if LATIN_WORD.search(text) else "und"
    counts = [_of_scripts(text[start : start + SPAN]) for start in range(0, len(text), SPAN)]
    han, words_latin, latin, letters = (sum(column) for column in zip((0, 0, 0, 0), *counts, strict=True))
    words_latin -= sum(LATIN_WORD.fullmatch(text, cut - 1, cut + 1) is not None for cut in range(SPAN, len(text), SPAN))
    others = letters - han - latin
    if han + words_latin + others == 0:
        return "und"
    if others > max(han, latin):
        return "other"
    return "zh" if han >= 0.3 * (han + words_latin) and han > 0 else "en"


def _of_scripts(text: str) -> tuple[int, int, int, int]:
    """Return how many Han characters, Latin words, characters of these, and letters a piece of text holds."""
    latin = LATIN_WORD.findall(text)
    return len(HAN_WORD.findall(text)), len(latin), sum(map(len, latin)), len(LETTERS.findall(text))


def check_language(language: str, allowed: Sequence[str] | None) -> None:
    if allowed is not None and language not in allowed:
        raise Dropped(f"language_{language}")


def check_length(what: str, length: int, limits: Limits) -> None:
    if length < limits.min:
        raise Dropped(f"{what}_too_short")
    if length > limits.max:
        raise Dropped(f"{what}_too_long")


def check_words(prompt: str, limits: Limits) -> None:
    """Raise Dropped for a prompt of too few or too many words; there are no more of them than characters."""
    if limits.min > 1 or len(prompt) > limits.max or not WORD.search(prompt):
        check_length("prompt_words", len(words(prompt)), limits)


def check_response(response: str, limits: Limits) -> None:
    """Raise Dropped for a response that is empty or breaks its limits (characters)."""
    if not response:
        raise Dropped("empty_response")
    check_length("response", len(response), limits)


def check_personal_data(text: str, kinds: list[PersonalData]) -> None:
    """Raise Dropped if the text holds one of the kinds of personal data."""
    if not kinds or not SUSPICION.search(text):
        return
    for kind in kinds:
        if DETECTORS[kind](text):
            raise Dropped(f"personal_data_{kind}")


def _has_card(text: str) -> bool:
    return any(_luhn(re.sub(r"\D", "", match.group())) for match in CARD.finditer(text))


def _luhn(digits: str) -> bool:
    """Return whether a number's check digit is right (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _has_ip_address(text: str) -> bool:
    return any(_is_public(match.group()) for match in IP_ADDRESS.finditer(text))


def _is_public(address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address).is_global
    except ValueError:
        return False


DETECTORS = {
    "email": EMAIL.search,
    "phone": PHONES.search,
    "card": _has_card,
    "id_number": ID_NUMBERS.search,
    "ip_address": _has_ip_address,
}
