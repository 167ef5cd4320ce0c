"""Agreement between labelers, and of scores with labelers and with gold."""

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
