"""What a moderator sees of a text: runs of words, and runs of characters within a word."""

import re
import unicodedata
from collections.abc import Iterator

HAN = r"\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")  # a Chinese character is a word
HAN_WORD = re.compile(rf"[{HAN}]")
LANGUAGES = ("en", "zh")
CHINESE_SHARE = 0.3  # of the words, from which on a text is Chinese


def folded(text: str) -> str:
    """Return a text as it is compared: one width, one case, nothing that is not seen."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return seen.casefold()


def words(text: str) -> list[str]:
    return WORD.findall(folded(text))


def language_of(found: list[str]) -> str:
    """Return zh or en, the two that a moderator has thresholds for; what is neither counts as en."""
    chinese = sum(1 for word in found if HAN_WORD.fullmatch(word))
    return "zh" if chinese and chinese >= CHINESE_SHARE * len(found) else "en"


def of_words(found: list[str], longest: int) -> Iterator[str]:
    """Yield the runs of one to `longest` words."""
    for length in range(1, longest + 1):
        for start in range(len(found) - length + 1):
            yield "w " + " ".join(found[start : start + length])


def of_characters(found: list[str], low: int, high: int) -> Iterator[str]:
    """Yield the runs of `low` to `high` characters of each word with a blank on either side; not of Chinese ones."""
    for word in found:
        if HAN_WORD.fullmatch(word):
            continue
        padded = f" {word} "
        for length in range(low, high + 1):
            for start in range(len(padded) - length + 1):
                yield "c" + padded[start : start + length]


def windows(found: list[str], most: int) -> list[list[str]]:
    """Return the words in overlapping pieces of at most `most`: what stands in a short piece is not drowned."""
    if len(found) <= most:
        return [found]
    step = most // 2
    return [found[start : start + most] for start in range(0, len(found) - most + step, step)]
