"""What is left of a win when fixed phrases are taken off both sides, and when both answers are of one length.

A policy that ends most answers with the same words can win by those words alone: see `rlhf.rewards.phrases`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.rewards.phrases import fixed, without


class Controlled(NamedTuple):
    """A win rate as it is, without fixed phrases, and at equal length; and the phrases."""

    plain: Interval
    without_phrases: Interval
    at_equal_length: Interval
    phrases: list[str]


def controlled(
    prompts: Sequence[str],
    languages: Sequence[str],
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    score: Callable[[int, str], float],
    tie: float,
    bootstrap: Bootstrap,
) -> Controlled:
    """Return how often the first answers beat the second, prompt by prompt, as they are and controlled.

    Answers have text and num_tokens; score(index, text) is what decides; a difference below `tie` counts half.
    `controls.compare` asks something else: it takes the phrases of all policies off each answer, widens intervals by
    the world's tasks and subjects, and holds no length equal. The recipe on a pretrained model is judged by this one.
    """
    sides = [[one["text"] for one in side] for side in (first, second)]
    phrases = list(dict.fromkeys(phrase for side in sides for phrase in fixed(prompts, side, languages)))

    def outcome(texts: Sequence[Sequence[str]]) -> statistics.Array:
        own, other = (np.array([score(index, text) for index, text in enumerate(side)]) for side in texts)
        return statistics.outcomes(own, other, np.full(len(prompts), tie))

    plain = outcome(sides)
    bare = outcome([[without(text, phrases) for text in side] for side in sides]) if phrases else plain
    ratio = [np.log((a["num_tokens"] + 1) / (b["num_tokens"] + 1)) for a, b in zip(first, second, strict=True)]
    return Controlled(
        statistics.mean_interval(plain, bootstrap),
        statistics.mean_interval(bare, bootstrap),
        statistics.length_controlled(bare, ratio, bootstrap),
        phrases,
    )
