"""What is done to each record by itself: normal form, language, lengths, personal data (Ouyang et al. 2022, App. A)."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rlhf.collection.dropped import Dropped
from rlhf.collection.languages.detection import HAN, language_of
from rlhf.collection.personal_data.finding import check_personal_data, masked
from rlhf.params.collect_prompts import Cleaning, Documents, Limits, PersonalData
from rlhf.records.types import DialogueRecord, Document, Message

# Control characters but newline and tab, byte-order marks and zero-width spaces (joiners are letters' business: kept).
REMOVED = {code: None for code in [*range(0x20), *range(0x7F, 0xA0), 0xFEFF, 0x200B] if code not in (0x09, 0x0A)}
REMOVED_PATTERN = re.compile(f"[{''.join(re.escape(chr(code)) for code in REMOVED)}]")
WORD = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['’][^\W_{HAN}]+)*")

# The characters that are no combining mark and whose canonical decomposition begins with one.
DISGUISED = {"\u0f73": "\u0f71\u0f72", "\u0f75": "\u0f71\u0f74", "\u0f81": "\u0f71\u0f80"}
MANY_MARKS = re.compile(r"[^\w\x00-\x7f]{32,}")  # and what else is no letter


class CleanRecord(NamedTuple):
    """A prompt, demonstration or comparison in normal form, and the kinds of personal data that were masked in it."""

    record: DialogueRecord
    masked: Collection[PersonalData] = ()


class CleanDocument(NamedTuple):
    """The same of a pretraining document."""

    document: Document
    masked: Collection[PersonalData] = ()


def clean_record(record: DialogueRecord, params: Cleaning) -> CleanRecord:
    """Return a prompt, demonstration or comparison in normal form and with its language.

    Responses of a comparison that break the length limits stay in; `rankings.within` takes them out. Lengths are those
    of what is kept: where personal data are masked, of the masked text.
    Raises Dropped with the reason (empty_prompt, language_xx, prompt_too_long, personal_data_email, ...).
    """
    turns: list[Message] = [{**turn, "content": normal(turn["content"], params)} for turn in record["messages"]]
    if not all(turn["content"] for turn in turns):
        raise Dropped("empty_prompt")
    cleaned: Any = {**record, "messages": turns}
    if record["kind"] == "demonstration":
        cleaned["response"] = normal(record["response"], params)
    elif record["kind"] == "comparison":
        cleaned["responses"] = [normal(response, params) for response in record["responses"]]
    cleaned["language"] = record["language"] or language_of(prompt_of(cleaned))
    kinds: Collection[PersonalData] = ()
    if params.on_personal_data == "mask":
        cleaned, kinds = with_masks(cleaned, params)
    if record["kind"] == "demonstration":
        check_response(cleaned["response"], params.response_characters)
    check_language(cleaned["language"], params.languages)
    prompt = prompt_of(cleaned)
    check_length("prompt", len(prompt), params.prompt_characters)
    check_words(prompt, params.prompt_words)
    if params.on_personal_data == "drop":
        for text in [*(turn["content"] for turn in turns), *responses_of(cleaned)]:
            check_personal_data(text, params.personal_data, params.placeholders)
    return CleanRecord(cleaned, kinds)


def prompt_of(record: DialogueRecord) -> str:
    return "\n".join(turn["content"] for turn in record["messages"])


def responses_of(record: DialogueRecord) -> list[str]:
    if record["kind"] == "demonstration":
        return [record["response"]]
    return record["responses"] if record["kind"] == "comparison" else []


def with_masks(record: DialogueRecord, params: Cleaning) -> tuple[DialogueRecord, set[PersonalData]]:
    """Return a record in whose turns and responses names of kinds stand for personal data, and those kinds."""
    kinds: set[PersonalData] = set()

    def mask(text: str) -> str:
        text, found = masked(text, params.personal_data, params.placeholders)
        kinds.update(found)
        return text

    changed: Any = {**record, "messages": [{**turn, "content": mask(turn["content"])} for turn in record["messages"]]}
    if record["kind"] == "demonstration":
        changed["response"] = mask(record["response"])
    elif record["kind"] == "comparison":
        changed["responses"] = [mask(response) for response in record["responses"]]
    return changed, kinds


def clean_document(document: Document, cleaning: Cleaning, params: Documents) -> CleanDocument:
    """Return a pretraining document in normal form; raises Dropped with the reason."""
    text = normal(document["text"], cleaning)
    kinds: Collection[PersonalData] = ()
    if params.on_personal_data == "mask":
        text, kinds = masked(text, params.personal_data, cleaning.placeholders)
    if len(text) < max(params.characters.min, 1):
        raise Dropped("document_too_short" if text else "empty_document")
    check_language(language_of(text[:2000]), cleaning.languages)
    if params.on_personal_data == "drop":
        check_personal_data(text, params.personal_data, cleaning.placeholders)
    return CleanDocument({**document, "text": text}, kinds)


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
