"""Which answers of a prompt are compared, and what scores the results of comparisons make.

Scores are least-squares ratings (Massey 1997): s minimises the sum over compared pairs of (s_i - s_j - m_ij)^2, m_ij in
[-1, 1] being how clearly i has won. They are shown as the share of comparisons with all others that an answer is
expected to win: the share that it did win, where all pairs were compared. Exact fractions, so that equal results tie.
"""

import random
from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations

from rlhf.runtime import seeds

Pair = tuple[int, int]


def chosen(num: int, most: int | None, record_id: str) -> list[Pair]:
    """Return the pairs of `num` answers to compare: all, or `most` of them, spread evenly over the answers.

    Then answers stand in a circle, in an order of the record's own, and neighbours are compared first.
    """
    everyone = list(combinations(range(num), 2))
    if most is None or most >= len(everyone):
        return everyone
    order = list(range(num))
    random.Random(seeds.derive(0, record_id, "pairs")).shuffle(order)
    found: dict[Pair, None] = {}
    for distance in range(1, num):
        for place in range(num):
            first, second = sorted((order[place], order[(place + distance) % num]))
            found.setdefault((first, second))
    return sorted(list(found)[:most])


def scores(num: int, margins: Mapping[Pair, Fraction]) -> list[Fraction | None]:
    """Return each answer's expected share of wins; None for those that no comparison ties to the largest group.

    margins: {(i, j): how clearly i has won against j, from -1 to 1}.
    """
    group = _largest_group(num, margins)
    found: list[Fraction | None] = [None] * num
    if len(group) < 2:
        return found
    inside = {pair: margin for pair, margin in margins.items() if pair[0] in group}
    share = Fraction(len(group), 2 * (len(group) - 1))
    for index, rating in zip(group, _ratings(group, inside), strict=True):
        found[index] = min(Fraction(1), max(Fraction(0), Fraction(1, 2) + share * rating))
    return found


def _largest_group(num: int, margins: Mapping[Pair, Fraction]) -> list[int]:
    """Return the answers that comparisons tie together, most of them; of equally many, the first."""
    group = list(range(num))
    for first, second in margins:
        joined, left = group[first], group[second]
        group = [joined if one == left else one for one in group]
    members = [[index for index in range(num) if group[index] == one] for one in dict.fromkeys(group)]
    return max(members, key=len)


def _ratings(group: list[int], margins: Mapping[Pair, Fraction]) -> list[Fraction]:
    """Solve the normal equations, their last row replaced by: the ratings sum to 0."""
    size, place = len(group), {index: row for row, index in enumerate(group)}
    rows = [[Fraction(0)] * (size + 1) for _ in group]
    for (first, second), margin in margins.items():
        for one, other, won in ((place[first], place[second], margin), (place[second], place[first], -margin)):
            rows[one][one] += 1
            rows[one][other] -= 1
            rows[one][size] += won
    rows[-1] = [Fraction(1)] * size + [Fraction(0)]
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [value - factor * top for value, top in zip(rows[row], rows[column], strict=True)]
    return [row[size] for row in rows]
