"""What a program can check of an answer: how far it keeps to one instruction, from 0 (not at all) to 1 (wholly).

Each check takes the answer, stripped, and its own arguments. Part of the credit is given for coming near, so that answers
of which none is right can still be ranked; only 1 means that the instruction was kept. The idea of instructions that a
program verifies is that of IFEval (Zhou et al. 2023).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

SENTENCE = re.compile(r"[^.!?]*[.!?]+[\"')\]]*(?=\s|$)|[^.!?\s][^.!?]*$")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
BULLET = re.compile(r"^- +\S")

Check = Callable[..., float]


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def sentences_of(text: str) -> list[str]:
    """Return a text's sentences; what stands behind the last full stop counts as one."""
    return [found.strip() for found in SENTENCE.findall(text) if WORD.search(found)]


def sentences(text: str, count: int) -> float:
    """So many sentences; one too many or too few earns .3."""
    return {0: 1.0, 1: 0.3}.get(abs(len(sentences_of(text)) - count), 0.0) if sentences_of(text) else 0.0


def keyword(text: str, word: str) -> float:
    """The word stands in it, as a word."""
    return float(word.lower() in words_of(text))


def fewer_words(text: str, limit: int) -> float:
    """Fewer words than the limit; credit falls to 0 at twice as many."""
    count = len(words_of(text))
    return 1.0 if count < limit else max(0.0, 0.8 * (2 - count / limit))


def ends_with(text: str, ending: str) -> float:
    """The very words stand at the end; elsewhere they earn .3."""
    if text.endswith(ending):
        return 1.0
    return 0.3 if ending.lower() in text.lower() else 0.0


def begins_with(text: str, word: str) -> float:
    """The first word is this one; elsewhere in the first sentence it earns .2."""
    found = words_of(text)
    if found[:1] == [word.lower()]:
        return 1.0
    return 0.2 if sentences_of(text) and word.lower() in words_of(sentences_of(text)[0]) else 0.0


def bullets(text: str, count: int) -> float:
    """Every line is a bullet with a dash, and there are so many; half the credit is for the form."""
    lines = [line for line in text.split("\n") if line.strip()]
    marked = sum(bool(BULLET.match(line)) for line in lines)
    if not marked:
        return 0.0
    form = marked / len(lines)
    number = {0: 1.0, 1: 0.4}.get(abs(marked - count), 0.0)
    return 1.0 if form == number == 1 else min(0.9, 0.5 * form + 0.5 * number)


def lower_case(text: str) -> float:
    """No capital letter; a tenth of the letters in capitals leaves nothing."""
    return _share_of_letters(text, str.isupper)


def capitals(text: str) -> float:
    """No small letter; with all of them small nothing is left."""
    letters = [letter for letter in text if letter.isalpha()]
    small = sum(letter.islower() for letter in letters)
    return 0.0 if not letters else 1.0 if not small else 0.6 * (1 - small / len(letters))


def no_comma(text: str) -> float:
    """No comma; each takes half of what is left."""
    return 0.5 ** text.count(",") if words_of(text) else 0.0


def json_object(text: str, key: str) -> float:
    """One JSON object with this key alone, whose value says something; a broken one earns .3 for the braces and the key."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return 0.3 if text.startswith("{") and f'"{key}"' in text else 0.0
    if not isinstance(value, dict):
        return 0.0
    if list(value) != [key]:
        return 0.5 if key in value else 0.3
    return 1.0 if words_of(f"{value[key]}") else 0.3


def question(text: str) -> float:
    """One question and nothing else; a question among other sentences earns its share."""
    found = sentences_of(text)
    asked = sum(one.rstrip("\"')").endswith("?") for one in found)
    return 1.0 if asked == len(found) == 1 else 0.5 * asked / len(found) if found else 0.0


def quoted(text: str) -> float:
    """The whole stands in double quotation marks, with none inside."""
    marks = text.count('"')
    if len(text) > 2 and text.startswith('"') and text.endswith('"') and marks == 2:
        return 1.0
    return 0.3 if marks else 0.0


def title(text: str) -> float:
    """The first line is a title in square brackets, with text behind it."""
    first, _, rest = text.partition("\n")
    if re.fullmatch(r"\[[^\[\]]+\]", first.strip()):
        return 1.0 if words_of(rest) else 0.5
    return 0.3 if text.startswith("[") and "]" in text else 0.0


def paragraphs(text: str, count: int) -> float:
    """So many paragraphs, with a blank line between two."""
    found = [part for part in re.split(r"\n[ \t]*\n", text) if words_of(part)]
    return {0: 1.0, 1: 0.3}.get(abs(len(found) - count), 0.0) if found else 0.0


def without(text: str, word: str) -> float:
    """The word stands nowhere in it."""
    return float(bool(words_of(text)) and word.lower() not in words_of(text))


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        sentences, keyword, fewer_words, ends_with, begins_with, bullets, lower_case, capitals, no_comma, json_object,
        question, quoted, title, paragraphs, without,
    )
}  # fmt: skip


def credit(name: str, arguments: Mapping[str, Any], text: str) -> float:
    """Return how far an answer keeps to one instruction. Raises ValueError for one that is not known."""
    if name not in CHECKS:
        raise ValueError(f"no instruction is called {name!r}; expected one of {', '.join(CHECKS)}")
    return CHECKS[name](text.strip(), **arguments)


def _share_of_letters(text: str, is_wrong: Callable[[str], bool]) -> float:
    letters = [letter for letter in text if letter.isalpha()]
    wrong = sum(map(is_wrong, letters))
    return 0.0 if not letters else 1.0 if not wrong else max(0.0, 0.6 * (1 - 10 * wrong / len(letters)))
