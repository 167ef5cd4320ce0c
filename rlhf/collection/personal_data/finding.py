"""Personal data in a text: found by kind, dropped for, or masked.

Patterns with checks, not understanding. Most texts hold nothing like it, so a few cheap looks come first: every rule
needs a digit, an @, or one of a few words.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from rlhf.collection.dropped import Dropped
from rlhf.collection.personal_data.addresses import emails, ip_addresses, keys, mac_addresses
from rlhf.collection.personal_data.found import Found, outside_of_urls, plainly_written
from rlhf.collection.personal_data.numbers import cards, ibans, id_numbers
from rlhf.collection.personal_data.people import birth_dates, handles, home_addresses
from rlhf.collection.personal_data.phones import phones
from rlhf.params.collect_prompts import PersonalData
from rlhf.secrets.shapes import KEYS

Rule = Callable[[str], Iterator[Found]]
RULES: dict[PersonalData, Rule] = {  # of findings that overlap, the one of the first rule counts
    "key": keys,
    "email": emails,
    "iban": ibans,
    "card": cards,
    "id_number": id_numbers,
    "mac_address": mac_addresses,
    "ip_address": ip_addresses,
    "birth_date": birth_dates,
    "address": home_addresses,
    "handle": handles,
    "phone": phones,
}
LONG_NUMBERS: Collection[PersonalData] = {"phone", "card", "id_number", "iban"}  # none in an address of the web

BRACKETED_AT = re.compile(r"[\[(] ?(?:at|AT|At|a) ?[\])]")
LONG_NUMBER = re.compile(r"[0-9][0-9 ().+-]{4,}[0-9]")
COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
HYPHENS = re.compile(r"-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-")
DOTS = re.compile(r"\.[0-9A-Fa-f]{4}\.")
ANNOUNCING: dict[PersonalData, tuple[str, ...]] = {  # parts of words, as few as hold most of what the rules know
    "handle": ("gram", "chat", "twit", "discord", "微", "qq", "抖音", "小红书", "推特"),
    "birth_date": ("birth", "born", "dob", "生日", "出生", "我是"),
    "address": ("live", "address", "ship", "send", "m at", "我家", "家住", "我住", "住址", "地址"),
}


class Span(NamedTuple):
    """Characters start..end of a text, and what stands there."""

    kind: PersonalData
    start: int
    end: int


def find(text: str, kinds: Collection[PersonalData], placeholders: bool) -> list[Span]:
    """Return where a text holds personal data of the kinds, in order and apart from each other.

    `placeholders`: also what is nobody's, such as addresses at example.com and telephone numbers for fiction.
    """
    text = plainly_written(text)
    found: list[Span] = []
    for kind in _suspected(text, kinds):
        for one in _in_lines(text, RULES[kind]) if kind in LONG_NUMBERS else RULES[kind](text):
            if placeholders or not one.is_placeholder:
                found.append(Span(kind, one.start, one.end))
    return _apart(found) if len(found) > 1 else found


def _in_lines(text: str, rule: Rule) -> Iterator[Found]:
    """Yield what a rule finds in the lines that hold a long number."""
    end = 0
    for number in LONG_NUMBER.finditer(text):
        if number.start() < end:
            continue
        start = text.rfind("\n", 0, number.start()) + 1
        end = text.find("\n", number.end())
        line = text[start : end if end >= 0 else len(text)]
        for one in outside_of_urls(line, rule(line)):
            yield Found(one.start + start, one.end + start, one.is_placeholder)
        if end < 0:
            return


def _suspected(text: str, kinds: Collection[PersonalData]) -> list[PersonalData]:
    """Return those of the kinds, in the order of RULES, that a cheap look at the text leaves possible."""
    possible: set[PersonalData] = set()
    if "@" in text or " dot " in text or (("(" in text or "[" in text) and BRACKETED_AT.search(text)):
        possible |= {"email", "handle"}
    has_digit = any(digit in text for digit in "0123456789")
    if "-----" in text or (has_digit and _may_hold_a_key(text)):
        possible.add("key")
    if has_digit:
        if LONG_NUMBER.search(text):
            possible |= {"phone", "card", "iban", "id_number", "ip_address"}
        if COLONS.search(text):
            possible |= {"ip_address", "mac_address"}
        if HYPHENS.search(text) or DOTS.search(text):
            possible.add("mac_address")
    if has_digit or "_" in text:
        lowered = text.lower()
        possible |= {kind for kind, words in ANNOUNCING.items() if any(word in lowered for word in words)}
    return [kind for kind in RULES if kind in possible and kind in kinds]


def _may_hold_a_key(text: str) -> bool:
    has_underscore = "_" in text
    return any(prefix in text for prefix in KEYS if has_underscore or "_" not in prefix)


def _apart(spans: list[Span]) -> list[Span]:
    """Return spans without those that overlap one of an earlier rule, or an earlier one of the same."""
    order = {kind: place for place, kind in enumerate(RULES)}
    taken: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, order[span.kind], -span.end)):
        if taken and span.start < taken[-1].end:
            if order[span.kind] < order[taken[-1].kind]:
                taken[-1] = span
            continue
        taken.append(span)
    return taken


def masked(text: str, kinds: Collection[PersonalData], placeholders: bool) -> tuple[str, set[PersonalData]]:
    """Return a text in which names of kinds stand for personal data, and those kinds; nothing is left to be found."""
    masked_kinds: set[PersonalData] = set()
    while spans := find(text, kinds, placeholders):
        parts, end = list[str](), 0
        for span in spans:
            parts += [text[end : span.start], f"[{span.kind.upper()}]"]
            end = span.end
        text = "".join([*parts, text[end:]])
        masked_kinds |= {span.kind for span in spans}
    return text, masked_kinds


def check_personal_data(text: str, kinds: Sequence[PersonalData], placeholders: bool) -> None:
    """Raise Dropped with the first of the kinds that the text holds."""
    held = {span.kind for span in find(text, kinds, placeholders)}
    for kind in kinds:
        if kind in held:
            raise Dropped(f"personal_data_{kind}")
