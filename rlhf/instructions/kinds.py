"""The kinds of instructions: how each may be worded, and what its words, numbers and endings are drawn from.

Wordings, words and endings stand in two halves: those of training, and those that only held-out prompts use. Four kinds
are held out wholly: no prompt of training asks for them.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, NamedTuple

Half = Literal["training", "held_out"]
HALVES: tuple[Half, ...] = ("training", "held_out")
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


class Kind(NamedTuple):
    """Wordings and values by half; a wording names the argument in braces, {s} is the plural's s."""

    wordings: Mapping[Half, Sequence[str]]
    argument: str = ""  # of the check
    values: Mapping[Half, Sequence[Any]] = {"training": [None], "held_out": [None]}
    weight: float = 1.0  # of its share among prompts


class Asked(NamedTuple):
    """One instruction: the check's name and arguments, and the sentence that asks for it."""

    check: str
    arguments: dict[str, Any]
    words: str


def _halves(training: Sequence[Any], held_out: Sequence[Any]) -> dict[Half, Sequence[Any]]:
    return {"training": training, "held_out": held_out}


def _same(*values: Any) -> dict[Half, Sequence[Any]]:
    return _halves(values, values)


KINDS: dict[str, Kind] = {
    "sentences": Kind(
        _halves(
            [
                "Use exactly {count} sentence{s}.", "Answer in {count} sentence{s}.",
                "Your answer must have {count} sentence{s}.", "Write {count} sentence{s}, no more and no less.",
            ],
            ["I want precisely {count} sentence{s}.", "Keep it to {count} sentence{s}, not fewer and not more."],
        ),
        "count", _same(1, 2, 3), 1.5,
    ),
    "keyword": Kind(
        _halves(
            [
                "Include the word {word}.", "Use the word {word} somewhere.", "Your answer must contain the word {word}.",
                "Make sure to mention the word {word}.",
            ],
            ["The word {word} has to appear in your answer.", "Work the word {word} into it."],
        ),
        "word",
        _halves(
            "river yellow winter mother window paper morning friend money music summer brother village wooden".split(),
            "garden silver doctor evening market island letter kitchen".split(),
        ),
        1.2,
    ),
    "fewer_words": Kind(
        _halves(
            [
                "Use fewer than {limit} words.", "Stay under {limit} words.", "Your answer must have less than {limit} words.",
                "Write fewer than {limit} words.",
            ],
            ["Do not write {limit} words or more.", "It has to be shorter than {limit} words."],
        ),
        "limit", _halves([12, 15, 20], [13, 16, 18]), 1.2,
    ),
    "ends_with": Kind(
        _halves(
            [
                'End your answer with "{ending}"', 'Finish with the words "{ending}"', 'The last words must be "{ending}"',
                'Close with "{ending}"',
            ],
            ['Let your answer stop with the words "{ending}"', 'Your final words should be "{ending}"'],
        ),
        "ending",
        _halves(
            ["That is all.", "Now you know.", "Is there more?", "So it goes.", "Tell your friends.", "I hope it helps."],
            ["The end.", "Good luck!", "And that is it.", "Do you agree?"],
        ),
    ),
    "begins_with": Kind(
        _halves(
            [
                "Start with the word {word}.", "Begin your answer with the word {word}.", "Your first word must be {word}.",
                "Let the answer begin with {word}.",
            ],
            ["The opening word should be {word}.", "Make {word} the very first word."],
        ),
        "word",
        _halves("Well First Honestly Today Imagine Once Usually Yes".split(), "Listen Surely Often Indeed".split()),
    ),
    "bullets": Kind(
        _halves(
            [
                "Write {count} bullet points, each on its own line with a dash.",
                "Answer as a list of {count} lines that each begin with a dash.",
                "Give {count} bullet points, each starting with a dash.", "Use {count} bullets with dashes and nothing else.",
            ],
            ["Make it a list with {count} items, a dash before each.", "Only {count} dashed list items, please."],
        ),
        "count", _same(2, 3, 4),
    ),
    "lower_case": Kind(
        _halves(
            [
                "Use only lower case letters.", "Write everything in lower case.", "Do not use any capital letters.",
                "All letters must be lower case.",
            ],
            ["No capitals at all, please.", "Write it all in small letters."],
        ),
    ),
    "capitals": Kind(
        _halves(
            [
                "Use only capital letters.", "Write everything in capital letters.", "All letters must be capitals.",
                "Answer in upper case only.",
            ],
            ["Every letter should be a capital.", "Write it all in upper case."],
        ),
    ),
    "no_comma": Kind(
        _halves(
            ["Do not use any commas.", "Write without commas.", "There must be no comma in it.", "Avoid commas."],
            ["Leave out all commas.", "Commas are not allowed."],
        ),
    ),
    "json_object": Kind(
        _halves(
            [
                'Answer with a JSON object that has the one key "{key}".', 'Write a JSON object with only the key "{key}".',
                'Your answer must be a JSON object with one key, "{key}".', 'Put it into a JSON object under the key "{key}".',
            ],
            ['Reply as JSON: one object, one key, "{key}".', 'Give a single JSON object whose only key is "{key}".'],
        ),
        "key", _halves("answer text summary fact reply".split(), "note content message".split()),
    ),
    "question": Kind(
        _halves(
            [
                "Answer with one question and nothing else.", "Write it as a single question.",
                "Your whole answer must be one question.", "Ask one question about it, and write nothing else.",
            ],
            ["Reply with just one question.", "Only a single question, please."],
        ),
    ),
    "quoted": Kind(
        _halves(
            [
                "Put your whole answer in double quotation marks.", "Write the answer between double quotes.",
                "Wrap your entire answer in double quotation marks.", "Your answer must stand in double quotes.",
            ],
            ["Enclose all of it in double quotation marks.", "Set double quotes around the whole answer."],
        ),
    ),
}  # fmt: skip

HELD_OUT_KINDS: dict[str, Kind] = {
    "title": Kind(_same("Begin with a title in square brackets on a line of its own.")),
    "paragraphs": Kind(_same("Write {count} paragraphs with a blank line between them."), "count", _same(2)),
    "without": Kind(
        _same("Do not use the word {word}.", "Avoid the word {word}."), "word", _same(*"is the and very people".split())
    ),
    # two instructions of training at once, which never stand together there
    "keyword+sentences": Kind(_same("")),
    "keyword+quoted": Kind(_same("")),
    "begins_with+fewer_words": Kind(_same("")),
}


def draw(rng: Random, name: str, half: Half) -> list[Asked]:
    """Return the instructions of one kind, drawn from a half's wordings and values; of two joined by + both."""
    if "+" in name:
        return [one for part in name.split("+") for one in draw(rng, part, half)]
    kind = KINDS[name] if name in KINDS else HELD_OUT_KINDS[name]
    value = rng.choice(kind.values[half])
    words = rng.choice(kind.wordings[half])
    shown = NUMBERS.get(value, value) if kind.argument == "count" else value
    filled = words.format(**{kind.argument or "_": shown}, s="" if value == 1 else "s")
    return [Asked(name, {kind.argument: value} if kind.argument else {}, filled)]
