"""How often two orders of the same responses agree, over pairs that both order: labelers, gold, models' scores."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal

from rlhf.records.types import Comparison


def share(differences: Iterable[tuple[float, float]]) -> tuple[float, int]:
    """Return (share, number) of the pairs on which two orders agree.

    Each pair is given as its difference in the one and in the other; where either is 0, a tie, it is left out. The
    share is 0.5 where no pair is left.
    """
    agreed = ordered = 0
    for one, other in differences:
        if one != 0 and other != 0:
            ordered += 1
            agreed += (one > 0) == (other > 0)
    return (agreed / ordered if ordered else 0.5), ordered


def between_rankings(rankings: Sequence[Sequence[int]]) -> Iterator[tuple[float, float]]:
    """Yield the differences of every pair of responses by every two of the rankings."""
    for first, second in combinations(rankings, 2):
        for one, other in combinations(range(len(first)), 2):
            yield first[one] - first[other], second[one] - second[other]


def between_labelers(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return the share of pairs on which two labelers of one prompt agree, of those that both have ordered.

    {} where no prompt has two labelers. Also the labelers' agreement with gold, where gold is known.
    """
    agreed, num_pairs = share(
        difference
        for comparison in comparisons
        for difference in between_rankings([label["ranks"] for label in comparison["labels"]])
    )
    metrics: dict[str, float] = {"agreement": agreed, "agreement_pairs": num_pairs} if num_pairs else {}
    with_gold = [comparison for comparison in comparisons if "gold" in comparison]
    agreed, num_pairs = with_labels(with_gold, [comparison["gold"] for comparison in with_gold])
    if num_pairs:
        metrics |= {"agreement_with_gold": agreed, "agreement_with_gold_pairs": num_pairs}
    return metrics


def krippendorffs_alpha(prompts: Sequence[Mapping[str, Sequence[int]]]) -> float | None:
    """Return Krippendorff's alpha (ordinal) of labelers' rankings, {labeler: ranks of K responses} a prompt.

    1: all labelers order alike, 0: as by chance. A unit is one response to a prompt that two labelers or more have
    ranked; its value is its place in that prompt's ranking: the mean rank of its ties less a half, divided by K. So
    prompts of different K have one range, and each labeler's places one mean. Responses to a prompt are not
    independent of each other, as units are meant to be: an interval has to draw prompts. None where nothing was ranked
    twice, or where all places are equal: of constant values alpha is not defined.
    """
    several = [prompt for prompt in prompts if len(prompt) > 1]
    units = [unit for prompt in several for unit in zip(*map(_places, prompt.values()), strict=True)]
    return alpha(units, "ordinal")


def alpha(units: Sequence[Sequence[float]], level: Literal["ordinal", "interval"]) -> float | None:
    """Return Krippendorff's alpha of units, each the values that it was given; None where it is not defined: where no
    unit has two values, or all values are equal.
    """
    if len({value for unit in units for value in unit}) < 2:  # the library raises, or gives no number
        return None
    import krippendorff
    import numpy as np

    table = np.full((max(map(len, units)), len(units)), math.nan)  # who gave a value is of no account
    for column, unit in enumerate(units):
        table[: len(unit), column] = unit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0, where it gives no number
        found = krippendorff.alpha(table, level_of_measurement=level)
    return float(found) if math.isfinite(found) else None


def _places(ranks: Sequence[int]) -> list[float]:
    """Return where each response stands in a ranking, in 0..1: the middle of those that share its rank."""
    below = [sum(other < rank for other in ranks) for rank in ranks]
    tied = [sum(other == rank for other in ranks) for rank in ranks]
    return [(before + ties / 2) / len(ranks) for before, ties in zip(below, tied, strict=True)]


def with_labels(comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return (share, number) of the labelers' ordered pairs that the scores, K a comparison, order the same way."""
    return share(
        (label["ranks"][other] - label["ranks"][one], own[one] - own[other])
        for comparison, own in zip(comparisons, scores, strict=True)
        for label in comparison["labels"]
        for one, other in combinations(range(len(own)), 2)
    )


def with_gold(
    comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]], threshold: float
) -> tuple[float, int]:
    """Return (share, number) of pairs that gold orders by more than `threshold` and the scores order alike."""
    return share(
        (difference if abs(difference) > threshold else 0, own[one] - own[other])
        for comparison, own in zip(comparisons, scores, strict=True)
        for one, other in combinations(range(len(own)), 2)
        for difference in [_gold(comparison)[one] - _gold(comparison)[other]]
    )


def _gold(comparison: Comparison) -> list[float]:
    assert "gold" in comparison, f"comparison '{comparison['id']}' has no gold scores"
    return comparison["gold"]
