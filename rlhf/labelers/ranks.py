"""Ranks with ties, of scores."""

import math
from collections.abc import Sequence
from fractions import Fraction


def with_ties(scores: Sequence[float | Fraction], tie: float) -> list[int]:
    """Return dense ranks, 1 for the highest; a score that equals its group's best, or is within `tie` of it, ties."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    ranks, current, best = [0] * len(scores), 0, math.inf
    for index in order:
        below = best - scores[index]
        if below > 0 and below >= tie:
            current, best = current + 1, scores[index]
        ranks[index] = current
    return ranks
