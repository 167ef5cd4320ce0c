"""How often people agree while they label: in pairs, with one another and with known orders, and by Krippendorff's
alpha.

A pair of answers counts where both order it; ties are left out. Alpha counts ties as well. Both are those of
collect_comparisons' metrics (rlhf.preferences.agreement); alpha of ratings, whose level is interval, stands here alone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rlhf.preferences.agreement import alpha, between_rankings


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
    units = [  # earlier ones may have had another scale
        [value for rated in some if (value := rated[index]) is not None and scale[0] <= value <= scale[1]]
        for some in ratings
        if some
        for index in range(len(some[0]))
    ]
    return alpha([unit for unit in units if len(unit) > 1], "interval")
