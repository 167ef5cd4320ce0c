"""Fixed phrases: sentences that begin or end the answers to many prompts, none of which asked for them."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rlhf.instructions.checks import sentences_of

SHARE = 0.03  # of the prompts: a sentence that begins or ends more answers of a policy than this is a fixed phrase
FEWEST = 5


class Taken(NamedTuple):
    """A phrase that was taken off an answer, and what is left then."""

    phrase: str
    rest: str


def fixed(prompts: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Return the fixed phrases of a policy's answers, the most frequent first."""
    counts: Counter[str] = Counter()
    for prompt, answer in zip(prompts, answers, strict=True):
        found = sentences_of(answer)
        if len(found) > 1:
            counts.update({one for one in (found[0], found[-1]) if one.lower() not in prompt.lower()})
    least = max(FEWEST, SHARE * len(prompts))
    return [phrase for phrase, count in counts.most_common() if count > least]


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
