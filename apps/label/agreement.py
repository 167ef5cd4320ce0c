"""How often people agree while they label: in pairs, with one another and with known orders, and by Krippendorff's
alpha.

A pair of answers counts where both order it; ties are left out. Alpha counts ties as well. Both are those of
collect_comparisons' metrics (rlhf.preferences.agreement); alpha of ratings, whose level is interval, stands here alone.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import krippendorff
import numpy as np

from rlhf.preferences.agreement import between_rankings


class Share(NamedTuple):
    """Of how many pairs that both order how many they order alike."""

    agreed: int
    pairs: int

    @property
    def share(self) -> float | None:
        return self.agreed / self.pairs if self.pairs else None


def share(one: Sequence[int], other: Sequence[int]) -> Share:
    """Return on how many pairs two rankings of the same answers agree."""
    ordered = [(a, b) for a, b in between_rankings([one, other]) if a and b]
    return Share(sum((a > 0) == (b > 0) for a, b in ordered), len(ordered))


class Tally:
    """Shares of each labeler with each other one, and with others such as simulated ones, kept as judgements come."""

    def __init__(self) -> None:
        self._found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))

    def count(self, labeler: str, ranks: Sequence[int], others: Mapping[str, Sequence[int]], sign: int = 1) -> None:
        """Count a ranking beside those of others on the same answers; with sign -1: no longer."""
        for other, theirs in others.items():
            agreed, pairs = share(ranks, theirs)
            for counts in (self._found[labeler][other], self._found[other][labeler]):
                counts[0] += sign * agreed
                counts[1] += sign * pairs

    def others(self, labeler: str, prefix: str) -> list[str]:
        """Return with whom a labeler is compared, of those whose name begins so."""
        return sorted(other for other in self._found[labeler] if other.startswith(prefix))

    def between(self, labeler: str, others: Collection[str]) -> Share:
        """Return a labeler's share with others together."""
        found = [counts for other, counts in self._found[labeler].items() if other in others]
        return Share(sum(one[0] for one in found), sum(one[1] for one in found))


def alpha_of_ratings(ratings: Iterable[Sequence[Sequence[int | None]]], scale: tuple[int, int]) -> float | None:
    """Return alpha over answers, of the ratings that each prompt has."""
    domain = [*range(scale[0], scale[1] + 1)]
    units = [
        [rated[index] for rated in some if rated[index] in domain]  # earlier ones may have had another scale
        for some in ratings
        if some
        for index in range(len(some[0]))
    ]
    return _alpha([unit for unit in units if len(unit) > 1], domain)


def _alpha(units: Sequence[Sequence[int | None]], domain: list[int]) -> float | None:
    if len({value for unit in units for value in unit}) < 2:  # the library raises, or gives no number
        return None
    place = {value: index for index, value in enumerate(domain)}
    counts = np.zeros((len(units), len(domain)), dtype=int)
    for row, unit in enumerate(units):
        for value in unit:
            if value is not None:
                counts[row, place[value]] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0, where it gives no number
        found = krippendorff.alpha(value_counts=counts, value_domain=domain, level_of_measurement="interval")
    return float(found) if math.isfinite(found) else None
