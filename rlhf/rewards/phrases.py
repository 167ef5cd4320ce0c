"""Fixed phrases: sentences that begin or end the answers to many prompts, none of which asked for them."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

SHARE = 0.03  # of a language's prompts: a sentence that begins or ends more answers than this is a fixed phrase
FEWEST = 5
STOP = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+[\"')\]”’』」）]*")  # no space follows a stop of Chinese
WORD = re.compile(r"\w")


class Taken(NamedTuple):
    """A phrase that was taken off an answer, and what is left then."""

    phrase: str
    rest: str


def fixed(prompts: Sequence[str], answers: Sequence[str], languages: Sequence[str]) -> list[str]:
    """Return the fixed phrases of a policy's answers, the most frequent first.

    Each language is looked at by itself: what ends every answer of a rare one would be rare among all.
    """
    asked, counts = Counter(languages), Counter[tuple[str, str]]()
    for prompt, answer, language in zip(prompts, answers, languages, strict=True):
        found = sentences_of(answer)
        if len(found) > 1:
            ends = {one for one in (found[0], found[-1]) if one.lower() not in prompt.lower()}
            counts.update((language, one) for one in ends)
    most = [key for key, count in counts.most_common() if count > max(FEWEST, SHARE * asked[key[0]])]
    return [*dict.fromkeys(phrase for _, phrase in most)]


def sentences_of(text: str) -> list[str]:
    """Return a text's sentences; what stands behind the last stop counts as one.

    `instructions.checks` counts sentences by English stops alone, as gold of instructions was frozen.
    """
    ends = [0, *(stop.end() for stop in STOP.finditer(text)), len(text)]
    parts = [text[start:end].strip() for start, end in pairwise(ends)]
    return [part for part in parts if WORD.search(part)]


def without(answer: str, phrases: Sequence[str]) -> str:
    """Return an answer without the fixed phrases that begin and end it; never nothing."""
    taken = taken_off(answer, phrases)
    return taken[-1].rest if taken else answer.strip()


def taken_off(answer: str, phrases: Sequence[str]) -> list[Taken]:
    """Return the fixed phrases that begin and end an answer, one after another, until none is left; never all of it."""
    text, taken, again = answer.strip(), list[Taken](), True
    while again:
        again = False
        for phrase in phrases:
            for end, rest in ((text.endswith, text[: -len(phrase)]), (text.startswith, text[len(phrase) :])):
                if text != phrase and end(phrase) and rest.strip():
                    text, again = rest.strip(), True
                    taken.append(Taken(phrase, text))
    return taken
