"""One grammar for writing and reading: every sentence an answer may hold, with typed slots.

render() writes a sentence from its name and slots; parse() cuts a text into sentences and matches each against the same
templates. A slot's type is its name without a trailing digit; list slots ("the key and the map") come back as tuples.
"""

import re
from functools import cache
from typing import Any, NamedTuple

from rlhf.world import chinese, knowledge

Slots = dict[str, Any]  # words, of the slots in _LISTS several of them

_ENGLISH = {
    "opener": ("Sure.", "Of course.", "Yes, I can help."),
    "closing": ("I hope this helps.", "Have a nice day."),
    "sorry": ("I am sorry.",),
    "idk": ("I do not know.",),
    # facts about animals
    "lives": (
        "The {animal} lives in the {lives}.",
        "It lives in the {lives}.",
        "The home of the {animal} is the {lives}.",
    ),
    "eats": ("The {animal} eats {eats}.", "It eats {eats}.", "The food of the {animal} is {eats}."),
    "colour": ("The {animal} is {colour}.", "It is {colour}.", "The colour of the {animal} is {colour}."),
    "size": ("The {animal} is {size}.", "It is {size}.", "The size of the {animal} is {size}."),
    "can": ("The {animal} can {can}.", "It can {can}."),
    "cannot": ("The {animal} cannot {cannot}.", "It cannot {cannot}."),
    "bare_lives": ("in the {lives}.", "{lives}."),
    "bare_eats": ("{eats}.",),
    "bare_colour": ("{colour}.",),
    "bare_size": ("{size}.",),
    "bare_can": ("{can}.",),
    "bare_cannot": ("{cannot}.",),
    "not_lives": ("The {animal} does not live in the {lives}.", "It does not live in the {lives}."),
    "not_eats": ("The {animal} does not eat {eats}.", "It does not eat {eats}."),
    "not_colour": ("The {animal} is not {colour}.", "It is not {colour}."),
    "because": ("Because it likes it.", "Because it likes the {lives}.", "Because it likes {eats}."),
    "unknown": ("I do not know the {word}.", "I do not know what a {word} is."),
    "tell_me": ("Please tell me more about the {word}.", "Please tell me more."),
    # lists
    "list": ("Here are {count} {category}: {items}.", "The {category} are {items}."),
    "bare_list": ("{items}.", "{items}"),
    # stories
    "intro": ("Once there was a {animal} named {name}.", "{name} was a {animal}."),
    "home": ("{name} lived in the {lives}.",),
    "found": ("One day {name} found {a_objects}.", "{name} found {a_objects}."),
    "end": ("In the end {name} was {mood}.", "{name} was {mood}."),
    # notes and requests
    "ask": (
        "Dear {name}, please bring {the_objects} to the {event}.",
        "Dear {name}, please bring {the_objects}.",
        "{name}, please bring {the_objects} to the {event}.",
        "{name}, please bring {the_objects}.",
        "Please bring {the_objects} to the {event}.",
        "Please bring {the_objects}.",
    ),
    "thank": (
        "Dear {name}, thank you for {the_objects} at the {event}.",
        "Dear {name}, thank you for {the_objects}.",
        "{name}, thank you for {the_objects} at the {event}.",
        "{name}, thank you for {the_objects}.",
        "Thank you for {the_objects} at the {event}.",
        "Thank you for {the_objects}.",
    ),
    "sign": ("Best wishes, {name}.", "From {name}."),
    "could": ("{name}, could you please {verb} {the_objects}?",),
    "polite": ("{name}, please {verb} {the_objects}.", "Please {verb} {the_objects}."),
    "rude": ("{name}, {verb} {the_objects}.",),
    # people and things
    "went": ("{name} went to the {event}.",),
    "has": ("{name} has {the_objects}.",),
    "likes": ("{name} likes {the_objects}.",),
    "met": ("{name1} met {name2} at the {event}.",),
    "lost": ("{name} lost the {object} in the {lives}.", "{name} lost the {object}."),
    "lost_found": (
        "{name1} lost the {object} in the {lives} and {name2} found it.",
        "{name1} lost the {object} and {name2} found it.",
    ),
    "gave": ("{name1} found the {object} and gave it to {name2}.", "{name1} found the {object}."),
    "names": ("The names are {names}.",),
    "bare_names": ("{names}.",),
    "things": ("The things are {the_objects}.",),
    "bare_things": ("{the_objects}.",),
    "your_name": ("Your name is {name}.",),
    "you_like": ("You like the {object}.",),
    # questions back
    "which_animal": ("Which animal do you mean?",),
    "which_note": ("What should the note say?",),
    "which_list": ("What should I list?",),
    "need_animal": ("I need the name of the animal.",),
    "need_note": ("I need to know more about the note.",),
    "need_list": ("I need the name of the group.",),
    # reviews and groups
    "verdict": ("The review is {verdict}.",),
    "verdict_because": (
        "The review is {verdict} because the {noun1} was {quality1} and the {noun2} was {quality2}.",
        "The review is {verdict} because the {noun1} was {quality1}.",
    ),
    "bare_verdict": ("{verdict}.",),
    "analogy": ("{item} -> {singular}.", "{item} -> {singular}"),
    "bare_singular": ("{singular}.",),
    # harm and look-alikes
    "refuse": ("I cannot help with that.",),
    "bare_refuse": ("No.",),
    "reason": ("It is wrong to {harm}.",),
    "comply": ("First go to the house at night.", "Then run away."),
    "step1": tuple(steps[0] for steps in knowledge.LOOK_ALIKES.values()),
    "step2": tuple(steps[1] for steps in knowledge.LOOK_ALIKES.values()),
}
SENTENCES = {"en": _ENGLISH, "zh": chinese.SENTENCES}

_QUALITIES = knowledge.QUALITIES["good"] + knowledge.QUALITIES["bad"]
_WORDS = {
    "en": {
        "animal": tuple(knowledge.ANIMALS) + knowledge.UNKNOWN_WORDS,
        "word": knowledge.UNKNOWN_WORDS,
        **knowledge.VALUES,
        "name": knowledge.NAMES,
        "object": knowledge.OBJECTS,
        "event": knowledge.EVENTS,
        "mood": knowledge.MOODS,
        "count": tuple(knowledge.COUNTS) + ("one",),
        "category": tuple(knowledge.CATEGORIES),
        "singular": tuple(knowledge.singular(category) for category in knowledge.CATEGORIES),
        "item": knowledge.ITEMS,
        "verb": knowledge.VERBS,
        "verdict": ("good", "bad", "Good", "Bad"),
        "noun": knowledge.REVIEWED,
        "quality": _QUALITIES,
        "harm": tuple(knowledge.HARMS),
    },
    "zh": {
        "animal": tuple(chinese.ANIMALS),
        **chinese.VALUES,
        "name": chinese.NAMES,
        "object": chinese.OBJECTS,
        "mood": chinese.MOODS,
        "number": tuple(chinese.COUNT_WORDS.values()),
        "category": tuple(chinese.CATEGORIES),
        "item": chinese.ITEMS,
        "harm": chinese.HARMS,
    },
}
# list slot: the type of its members and the article each carries
_LISTS = {
    "items": ("item", ""),
    "names": ("name", ""),
    "objects": ("object", ""),
    "the_objects": ("object", "the "),
    "a_objects": ("object", "a "),
}
_SLOT = re.compile(r"{(\w+)}")
_SENTENCE = re.compile(r"[^.?!。？！\n]+[.?!。？！]?|[.?!。？！]")


class Sentence(NamedTuple):
    """One sentence of an answer: its text, every (template name, slots) that reads it, and whether capital and full stop are right."""

    text: str
    readings: tuple[tuple[str, Slots], ...]
    polished: bool


def join(items: list[str] | tuple[str, ...], language: str = "en", article: str = "") -> str:
    """Join items as a person would: "apple, pear and plum"."""
    words = [article + item for item in items]
    comma, last = (", ", " and ") if language == "en" else ("、", "和")
    return words[0] if len(words) == 1 else comma.join(words[:-1]) + last + words[-1]


def render(name: str, slots: Slots, language: str = "en", variant: int = 0) -> str:
    """Write the sentence `name`; of its variants the first at or after `variant` whose slots are exactly the given ones.

    Raises KeyError when no variant has these slots.
    """
    variants = SENTENCES[language][name]
    for template in variants[variant:] + variants[:variant]:
        if set(_SLOT.findall(template)) == set(slots):
            return template.format_map(
                {
                    slot: join(value, language, _LISTS[slot][1]) if slot in _LISTS else value
                    for slot, value in slots.items()
                }
            )
    raise KeyError(f"sentence {name!r} has no variant with slots {sorted(slots)}")


def parse(text: str, language: str = "en") -> list[Sentence]:
    """Cut a text into sentences and read each; a sentence without readings is junk."""
    pieces = [piece.strip() for piece in _SENTENCE.findall(text)]
    return [_read(piece, language) for piece in pieces if piece]


def vocabulary() -> set[str]:
    """Return every slot word of the English grammar (for tests of its size)."""
    return {word for words in _WORDS["en"].values() for word in words}


@cache
def _read(piece: str, language: str) -> Sentence:
    readings = tuple(
        (name, _slots_of(match))
        for name, pattern in _patterns(language)
        if (match := pattern.fullmatch(piece)) is not None
    )
    stopped = piece[-1] in ".?!。？！" or (readings and readings[0][0] == "analogy")
    capital = language == "zh" or piece[0].isupper() or (readings and readings[0][0] == "analogy")
    return Sentence(piece, readings, bool(readings and stopped and capital))


def _slots_of(match: re.Match) -> Slots:
    slots: Slots = {}
    for slot, value in match.groupdict().items():
        if slot in _LISTS:
            article = _LISTS[slot][1]
            slots[slot] = tuple(part.removeprefix(article) for part in re.split(r", | and |、|和", value))
        else:
            slots[slot] = value[:1].lower() + value[1:] if slot == "verdict" else value
    return slots


@cache
def _patterns(language: str) -> tuple[tuple[str, re.Pattern], ...]:
    return tuple(
        (name, re.compile(_pattern(template, language)))
        for name, variants in SENTENCES[language].items()
        for template in variants
    )


def _pattern(template: str, language: str) -> str:
    """Compile a template to a regular expression that forgives a missing full stop and a small first letter."""
    body = template.rstrip(".?!。？！")
    parts = _SLOT.split(body)
    pattern = ""
    for position, part in enumerate(parts):
        pattern += f"(?P<{part}>{_slot_pattern(part, language)})" if position % 2 else re.escape(part)
    first = body[:1]
    if first.isalpha() and first.isascii():
        pattern = f"[{first.upper()}{first.lower()}]" + pattern[1:]
    return pattern + "[.?!。？！]?"


def _slot_pattern(slot: str, language: str) -> str:
    if slot in _LISTS:
        kind, article = _LISTS[slot]
        word = re.escape(article) + _alternatives(kind, language)
        return f"{word}(?:(?:, | and |、|和){word})*"
    return _alternatives(slot.rstrip("0123456789"), language)


def _alternatives(kind: str, language: str) -> str:
    words = sorted(_WORDS[language][kind], key=len, reverse=True)
    return "(?:" + "|".join(re.escape(word) for word in words) + ")"
