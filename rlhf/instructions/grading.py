"""Gold of a prompt with instructions that a program verifies: how far an answer keeps to them, and is an answer at all.

criterion    weight  what it measures, each in [0, 1]
instruction  .60     mean credit of the instructions (checks.py); 1 only where all of them are kept
form         .25     half: it ends as a text ends (not cut off in a sentence); half: nothing is said twice
substance    .15     words, up to ENOUGH (fewer for questions and lists): a word or two is no answer, and padding earns nothing

total = their weighted sum, times OFF_TOPIC where no word of the topic occurs; 0 for fewer than three words.
What a program cannot see, truth and taste, is not in it: read samples, and a judge's opinion, beside it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlhf.instructions import checks

WEIGHTS = {"instruction": 0.60, "form": 0.25, "substance": 0.15}
OFF_TOPIC = 0.3
ENOUGH, ENOUGH_IN_SHORT = 5, 4  # words, from which on more earn nothing
FEWEST_WORDS = 3
ENDINGS = re.compile(r"[.!?][\"')\]]*$|[}\"]$")
RUN = 4  # words in a row that count as said twice


class Graded(NamedTuple):
    """The total in [0, 1] and each criterion."""

    score: float
    criteria: dict[str, float]


def score(task: Mapping[str, Any], response: str, factors: Mapping[str, float] | None = None) -> Graded:
    """Score an answer to a prompt whose task has `checks` and `stems`; factors multiply WEIGHTS, for labelers' own."""
    text = response.strip()
    words = checks.words_of(text)
    criteria = {
        "instruction": sum(_credits(task, text)) / len(task["checks"]),
        "form": 0.5 * _is_whole(task, text) + 0.5 * (1 - _said_twice(text)),
        "substance": min(1.0, len(words) / _enough(task)),
        "topic": float(is_on_topic(task["stems"], text)),
    }
    if len(words) < FEWEST_WORDS:
        return Graded(0.0, criteria)
    weights = {name: weight * (factors or {}).get(name, 1.0) for name, weight in WEIGHTS.items()}
    total = sum(weight * criteria[name] for name, weight in weights.items()) / sum(weights.values())
    return Graded(total if criteria["topic"] else OFF_TOPIC * total, criteria)


def strict(task: Mapping[str, Any], response: str) -> float:
    """Return 1.0 where every instruction is kept by a whole, unrepeated answer of enough words on the topic; else 0."""
    found = score(task, response).criteria
    kept = all(credit == 1 for credit in _credits(task, response.strip()))
    return float(kept and found["topic"] == 1 and found["form"] == 1 and found["substance"] == 1)


def _credits(task: Mapping[str, Any], text: str) -> list[float]:
    return [checks.credit(name, arguments, text) for name, arguments in task["checks"]]


def is_on_topic(stems: Sequence[str], text: str) -> bool:
    """Say whether a word of the text begins with one of the stems."""
    return any(re.search(rf"\b{re.escape(stem)}", text.lower()) for stem in stems)


def _is_whole(task: Mapping[str, Any], text: str) -> bool:
    """Say whether it ends as a text ends; a list's lines need no full stop."""
    return bool(ENDINGS.search(text)) or any(name == "bullets" for name, _ in task["checks"])


def _said_twice(text: str) -> float:
    """Return the share of runs of RUN words that occurred before."""
    words = checks.words_of(text)
    runs = [tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _enough(task: Mapping[str, Any]) -> int:
    """Return how many words are enough: fewer where an instruction asks for little."""
    is_short = any(name in ("question", "bullets") for name, _ in task["checks"])
    return ENOUGH_IN_SHORT if is_short else ENOUGH
