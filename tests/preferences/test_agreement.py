"""Agreement between labelers, and of scores with labelers and with gold."""

import random

import pytest

from rlhf.preferences import agreement

TWO = {"labels": [{"ranks": [1, 2, 3]}, {"ranks": [1, 3, 2]}], "gold": [0.9, 0.5, 0.1]}
TIED = {"labels": [{"ranks": [1, 1, 2]}, {"ranks": [2, 1, 3]}], "gold": [0.5, 0.49, 0.1]}
ONE = {"labels": [{"ranks": [1, 2]}], "gold": [0.1, 0.9]}


def test_two_labelers_agree_on_the_pairs_that_both_order_alike():
    counted = agreement.between_labelers([TWO, TIED, ONE])
    assert counted["agreement_pairs"] == 3 + 2  # of TIED, one labeler did not order the first pair
    assert counted["agreement"] == (2 + 2) / 5


def test_without_a_second_labeler_there_is_no_agreement_to_report():
    assert agreement.between_labelers([{"labels": [{"ranks": [1, 2]}]}]) == {}


def test_labelers_are_compared_with_gold_where_gold_is_known():
    counted = agreement.between_labelers([TWO, ONE, {"labels": [{"ranks": [1, 2]}]}])
    assert counted["agreement_with_gold_pairs"] == 7
    assert counted["agreement_with_gold"] == 5 / 7


def test_scores_agree_with_each_labelers_ordered_pairs_and_ties_are_left_out():
    assert agreement.with_labels([TWO], [[3.0, 2.0, 1.0]]) == (5 / 6, 6)
    assert agreement.with_labels([TWO], [[3.0, 1.0, 1.0]]) == (1.0, 4)
    assert agreement.with_labels([TIED], [[2.0, 1.0, 0.0]]) == (4 / 5, 5)
    assert agreement.with_labels([ONE], [[1.0, 1.0]]) == (0.5, 0)


def test_gold_scores_within_the_threshold_are_equal():
    assert agreement.with_gold([TIED], [[1.0, 2.0, 0.0]], threshold=0.02) == (1.0, 2)
    assert agreement.with_gold([TIED], [[1.0, 2.0, 0.0]], threshold=0.001) == (2 / 3, 3)
    assert agreement.with_gold([ONE], [[1.0, 2.0]], threshold=1.0) == (0.5, 0)


@pytest.mark.parametrize(
    ("rankings", "agreed", "ordered"),
    [([[1, 2, 3], [1, 1, 2]], 2, 2), ([[1, 2], [2, 1]], 0, 1), ([[1, 2], [1, 2], [2, 1]], 1, 3)],
)
def test_ties_are_left_out_of_both_rankings(rankings, agreed, ordered):
    assert agreement.share(agreement.between_rankings(rankings)) == (agreed / ordered, ordered)


def test_where_no_pair_is_ordered_the_share_is_one_half():
    assert agreement.share([(0, 1), (1, 0)]) == (0.5, 0)


def test_gold_counts_pairs_whichever_answer_stands_first():
    """Golds of one prompt rise and fall, so that pairs of both signs have to be counted."""
    mixed = {"labels": [], "gold": [0.1, 0.9, 0.4]}
    assert agreement.with_gold([mixed], [[1.0, 0.0, 2.0]], threshold=0.02) == (1 / 3, 3)
    assert agreement.with_gold([mixed], [[0.0, 2.0, 1.0]], threshold=0.02) == (1.0, 3)
    assert agreement.with_gold([mixed], [[0.0, 2.0, 1.0]], threshold=0.4) == (1.0, 2)
    assert agreement.with_gold([ONE, mixed], [[0.0, 1.0], [2.0, 0.0, 1.0]], threshold=0.02) == (1 / 4, 4)


def ranked(*prompts: dict) -> float | None:
    return agreement.krippendorffs_alpha(prompts)


def test_alpha_is_one_where_all_labelers_order_alike_and_below_where_they_do_not():
    same = {"ada": [1, 2, 3], "ben": [1, 2, 3]}
    assert ranked(same, {"ada": [2, 1, 2], "eve": [2, 1, 2]}) == 1
    turned = ranked(same, {"ada": [1, 2, 3], "ben": [3, 2, 1]})
    assert -0.2 < turned < 0.5
    assert ranked({"ada": [1, 2, 3], "ben": [3, 2, 1]}) < 0


def test_alpha_of_random_rankings_is_about_zero_whatever_k():
    draw = random.Random(5)
    prompts = []
    for _ in range(600):
        ranks = [*range(1, draw.randint(4, 9) + 1)]
        prompts.append({name: draw.sample(ranks, len(ranks)) for name in ("ada", "ben")})
    assert abs(ranked(*prompts)) < 0.05


def test_alpha_counts_only_what_two_have_ranked():
    both = {"ada": [1, 2, 3, 4], "ben": [1, 2, 4, 3]}
    assert ranked(both, {"ada": [1, 2]}, {"eve": [2, 1]}) == ranked(both)
    assert ranked({"ada": [1, 2]}, {"ben": [1, 2]}) is None
    assert ranked() is None


def test_alpha_of_constant_places_is_not_defined():
    """By `krippendorff` it would be an error, or NaN, though all agree."""
    tied = {"ada": [1, 1, 1], "ben": [1, 1, 1]}
    assert ranked(tied) is None
    assert ranked(tied, {"ada": [1, 1, 1]}) is None


def test_ties_share_the_mean_of_their_places():
    assert agreement._places([1, 1, 2]) == pytest.approx([1 / 3, 1 / 3, 5 / 6])
    assert agreement._places([1, 1, 3]) == agreement._places([1, 1, 2])
    assert agreement._places([2, 1]) == [0.75, 0.25]


def test_alpha_is_that_of_the_definition():
    """Ordinal alpha of two raters by Krippendorff's formula, with coincidences counted here."""
    prompts = [{"a": [1, 1, 2], "b": [1, 2, 3]}, {"a": [1, 1, 1, 2], "b": [2, 1, 3, 4]}, {"a": [1, 2], "b": [2, 1]}]
    pairs = [pair for one in prompts for pair in zip(*map(agreement._places, one.values()), strict=True)]
    values = sorted({value for pair in pairs for value in pair})
    count = {value: sum(pair.count(value) for pair in pairs) for value in values}

    def distance(one: float, other: float) -> float:
        low, high = sorted((one, other))
        between = sum(count[value] for value in values if low <= value <= high)
        return (between - (count[low] + count[high]) / 2) ** 2

    total = sum(count.values())
    observed = sum(2 * distance(*pair) for pair in pairs) / total
    expected = sum(
        count[one] * (count[other] - (one == other)) * distance(one, other) for one in values for other in values
    ) / (total * (total - 1))
    assert ranked(*prompts) == pytest.approx(1 - observed / expected)
