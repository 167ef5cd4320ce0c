"""Which pairs are compared, and what scores and ranks comparisons make."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.labelers import pairs, ranks

MARGINS = st.sampled_from([Fraction(part, 2) for part in range(-2, 3)])


@pytest.mark.parametrize("num", range(2, 10))
def test_any_number_of_pairs_from_k_minus_1_on_ties_all_together_and_is_fair(num):
    everyone = set(combinations(range(num), 2))
    assert set(pairs.chosen(num, None, "x")) == everyone
    for most in range(num - 1, len(everyone) + 2):
        found = pairs.chosen(num, most, "x")
        assert len(found) == len(set(found)) == min(most, len(everyone))
        assert set(found) <= everyone
        assert None not in pairs.scores(num, dict.fromkeys(found, Fraction(0)))
        met = [sum(index in pair for pair in found) for index in range(num)]
        assert max(met) - min(met) <= 2
        if most % num == 0 and most < len(everyone):
            assert max(met) == min(met)


def test_another_prompt_has_other_pairs():
    assert len({tuple(pairs.chosen(9, 9, str(number))) for number in range(20)}) > 10
    assert pairs.chosen(9, 9, "a") == pairs.chosen(9, 9, "a")


@given(st.data())
def test_where_all_are_compared_a_score_is_the_share_that_was_won(data):
    num = data.draw(st.integers(2, 9))
    margins = {pair: data.draw(MARGINS) for pair in combinations(range(num), 2)}
    found = pairs.scores(num, margins)
    for index in range(num):
        won = sum(
            (1 + (margin if first == index else -margin)) / 2
            for (first, other), margin in margins.items()
            if index in (first, other)
        )
        assert found[index] == won / (num - 1)


@given(st.data())
def test_scores_that_explain_every_margin_are_found(data):
    """Of a chain of comparisons, ratings add up along it; the order is that of the ratings."""
    num = data.draw(st.integers(2, 9))
    order = data.draw(st.permutations(range(num)))
    steps = [data.draw(MARGINS) for _ in range(num - 1)]
    margins = {}
    for one, other, margin in zip(order, order[1:], steps, strict=False):
        margins[(min(one, other), max(one, other))] = margin if one < other else -margin
    found = pairs.scores(num, margins)
    for one, other, margin in zip(order, order[1:], steps, strict=False):
        inside = 0 < found[one] < 1 and 0 < found[other] < 1
        difference = found[one] - found[other]
        assert difference == Fraction(num, 2 * (num - 1)) * margin if inside else difference * margin >= 0


def test_answers_that_nothing_ties_to_the_others_have_no_score():
    assert pairs.scores(5, {(0, 2): Fraction(1), (2, 4): Fraction(1), (1, 3): Fraction(1)}) == [1, None, Fraction(1, 2), None, 0]  # fmt: skip  # noqa: E501
    assert pairs.scores(4, {(0, 1): Fraction(1), (2, 3): Fraction(-1)}) == [1, 0, None, None]
    assert pairs.scores(3, {}) == [None] * 3


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9), st.integers(0, 6))
def test_ranks_are_dense_follow_scores_and_tie_within_the_threshold_of_a_groups_best(scores, tie):
    found = ranks.with_ties(scores, tie)
    assert sorted(set(found)) == list(range(1, max(found) + 1))
    for one, rank in zip(scores, found, strict=True):
        best = max(score for score, other in zip(scores, found, strict=True) if other == rank)
        assert best - one < tie or best == one
        better = [score for score, other in zip(scores, found, strict=True) if other < rank]
        assert all(score > one for score in better)
        if better:
            leader = max(score for score, other in zip(scores, found, strict=True) if other == rank - 1)
            assert leader - best >= tie
