"""Laws and hand-computed tables of the evaluation's statistics."""

import re
from itertools import combinations
from math import log

import numpy as np
import pytest

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap

BOOTSTRAP = Bootstrap(resamples=400, coverage=0.95, seed=7)


def test_outcomes_count_ties_half():
    assert statistics.outcomes([1.0, 0.2, 0.5, 0.5], [0.0, 0.9, 0.51, 0.5], 0.02).tolist() == [1.0, 0.0, 0.5, 0.5]


def test_a_threshold_a_prompt_is_used_prompt_by_prompt():
    assert statistics.outcomes([0.3, 0.3], [0.2, 0.2], np.array([0.2, 0.05])).tolist() == [0.5, 1.0]


def test_equal_scores_tie_even_without_a_threshold():
    assert statistics.outcomes([0.3], [0.3], 0.0).tolist() == [0.5]


def test_swapping_the_sides_mirrors_the_win_rate():
    first, second = np.random.default_rng(0).random((2, 50))
    forth = statistics.outcomes(first, second, 0.1)
    back = statistics.outcomes(second, first, 0.1)
    assert np.allclose(forth + back, 1)


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda: statistics.outcomes([np.nan, 1, np.inf], [0, 0, 0], 0.02),
         "expected finite scores, got 2 NaN or infinite ones"),
        (lambda: statistics.mean_interval([], BOOTSTRAP), "statistics of no prompts: expected at least one score"),
        (lambda: statistics.outcomes([1, 2], [1], 0.02), "outcomes: expected equal shapes, got (2,) and (1,)"),
        (lambda: statistics.length_controlled([1, 2], [1], BOOTSTRAP),
         "length_controlled: expected equal shapes, got (2,) and (1,)"),
        (lambda: statistics.mean_interval([1, 2], BOOTSTRAP, ["a"]),
         "mean_interval: expected one cluster a value, got 1 for 2 values"),
        (lambda: statistics.best_of_n([[1, 2]], [[1], [2]], 1),
         "best_of_n: expected proxy and gold [B, N], got (1, 2) and (2, 1)"),
        (lambda: statistics.best_of_n([1, 2], [1, 2], 1),
         "best_of_n: expected proxy and gold [B, N], got (2,) and (2,)"),
        (lambda: statistics.best_of_n([[1, 2]], [[1, 2]], 0),
         "best_of_n: n must be 1..2 (answers drawn a prompt), got 0"),
        (lambda: statistics.best_of_n([[1, 2]], [[1, 2]], 3),
         "best_of_n: n must be 1..2 (answers drawn a prompt), got 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_and_said(ask, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        ask()


@pytest.mark.parametrize(
    ("yes", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_is_that_of_his_formula_and_of_newcombes_table(yes, count, low, high):
    """81 of 263: Newcombe 1998, Table I, method 3."""
    found = statistics.share_interval([1.0] * yes + [0.0] * (count - yes), 0.95)
    assert found == pytest.approx((yes / count, low, high), abs=5e-5)


def test_shares_between_none_and_all_have_the_interval_of_their_mean():
    assert statistics.share_interval([0.5] * 10, 0.9) == statistics.share_interval([0.0, 1.0] * 5, 0.9)
    with pytest.raises(ValueError, match=r"expected shares in 0..1, got 0 to 1\.5"):
        statistics.share_interval([0.0, 1.5], 0.9)


def test_a_policy_against_itself_wins_exactly_half():
    scores = np.random.default_rng(1).random(200)
    outcome = statistics.outcomes(scores, scores, 0.02)
    assert statistics.mean_interval(outcome, BOOTSTRAP) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("coverage", "z"), [(0.95, 1.95996), (0.90, 1.64485), (0.60, 0.84162)])
def test_the_interval_of_a_coin_matches_the_normal_approximation(coverage, z):
    """The bounds' own error, of 4000 resamples and a coin that falls in thousandths, is a third of the tolerance."""
    coin = np.repeat([0.0, 1.0], [300, 700])
    mean, low, high = statistics.mean_interval(coin, Bootstrap(4000, coverage, 0))
    half = z * (0.7 * 0.3 / 1000) ** 0.5
    assert mean == pytest.approx(0.7)
    assert low == pytest.approx(0.7 - half, abs=0.002)
    assert high == pytest.approx(0.7 + half, abs=0.002)


def test_the_order_of_prompts_does_not_matter():
    generator = np.random.default_rng(2)
    outcome, ratio = generator.integers(0, 2, 80).astype(float), generator.normal(size=80)
    shuffled = generator.permutation(80)
    again = statistics.mean_interval(outcome[shuffled], BOOTSTRAP)
    assert statistics.mean_interval(outcome, BOOTSTRAP) == again
    forth = statistics.length_controlled(outcome, ratio, BOOTSTRAP)
    back = statistics.length_controlled(outcome[shuffled], ratio[shuffled], BOOTSTRAP)
    assert forth == pytest.approx(back)


def test_a_wider_coverage_gives_a_wider_interval():
    outcome = np.repeat([0.0, 1.0], [40, 60])
    narrow = statistics.mean_interval(outcome, Bootstrap(500, 0.5, 0))
    wide = statistics.mean_interval(outcome, Bootstrap(500, 0.99, 0))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_winning_only_by_length_is_worth_half_under_length_control():
    generator = np.random.default_rng(3)
    ratio = generator.normal(0.7, 0.6, 3000)  # mostly longer answers
    win = (generator.random(3000) < 1 / (1 + np.exp(-3 * ratio))).astype(float)
    assert win.mean() > 0.75
    controlled = statistics.length_controlled(win, ratio, BOOTSTRAP)
    assert controlled.low < 0.5 < controlled.high
    assert controlled.mean == pytest.approx(0.5, abs=0.05)


def test_a_win_rate_that_length_does_not_explain_survives_length_control():
    generator = np.random.default_rng(4)
    win, ratio = (generator.random(4000) < 0.8).astype(float), generator.normal(0.3, 0.5, 4000)
    assert statistics.length_controlled(win, ratio, BOOTSTRAP).mean == pytest.approx(0.8, abs=0.03)


def test_length_control_is_where_the_penalised_likelihood_is_highest():
    """Found here by looking around it: theta and phi maximise the log likelihood less (theta^2 + phi^2) / 200."""
    generator = np.random.default_rng(8)
    ratio = generator.normal(0.5, 1.0, 60)
    win = (generator.random(60) < 1 / (1 + np.exp(-0.7 - 2 * ratio))).astype(float)

    def objective(theta, phi):
        share = 1 / (1 + np.exp(-theta - phi * ratio))
        return (win * np.log(share) + (1 - win) * np.log(1 - share)).sum() - (theta**2 + phi**2) / 200

    share = statistics.length_controlled(win, ratio, BOOTSTRAP).mean
    theta, phis = np.log(share / (1 - share)), np.linspace(0, 5, 2001)
    before, here, after = (max(objective(theta + shift, phi) for phi in phis) for shift in (-0.01, 0.0, 0.01))
    assert here > max(before, after)


def test_length_control_without_differences_in_length_is_the_win_rate():
    win = np.repeat([0.0, 0.5, 1.0], [20, 10, 70])
    assert statistics.length_controlled(win, np.zeros(100), BOOTSTRAP).mean == pytest.approx(0.75, abs=1e-3)


def test_length_control_stays_finite_when_one_side_always_wins():
    controlled = statistics.length_controlled(np.ones(50), np.linspace(-1, 1, 50), BOOTSTRAP)
    assert 0.95 < controlled.low <= controlled.high <= 1


def test_minimum_detectable_effect_of_a_thousand_prompts():
    assert statistics.minimum_detectable_effect(1000, 0.95) == pytest.approx(
        (1.95996 + 0.84162) * 0.5 / 1000**0.5, rel=1e-4
    )


def test_best_of_one_is_the_mean_and_best_of_all_is_the_pick_of_the_proxy():
    proxy = [[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]]
    gold = [[0.0, 0.6, 0.9], [0.2, 0.4, 0.9]]
    assert statistics.best_of_n(proxy, gold, 1) == pytest.approx([0.5, 0.5])
    assert statistics.best_of_n(proxy, gold, 3) == pytest.approx([0.6, 0.2])


def test_best_of_n_is_the_average_over_all_subsets():
    generator = np.random.default_rng(5)
    proxy, gold = generator.random((2, 1, 6))
    for n in (2, 3, 5):
        picks = [gold[0, max(subset, key=lambda i: proxy[0, i])] for subset in combinations(range(6), n)]
        assert statistics.best_of_n(proxy, gold, n)[0] == pytest.approx(np.mean(picks))


def test_of_answers_that_the_proxy_likes_alike_the_last_drawn_is_picked():
    proxy, gold = np.arange(40)[None] % 3, np.arange(40.0)[None]
    assert statistics.best_of_n(proxy, gold, 40).tolist() == [38.0]
    later_is_better = proxy + np.arange(40) / 1000
    for n in (2, 3, 20):
        assert statistics.best_of_n(proxy, gold, n) == pytest.approx(statistics.best_of_n(later_is_better, gold, n))


def test_kl_of_best_of_n():
    assert statistics.best_of_n_kl(1) == 0
    assert statistics.best_of_n_kl(4) == pytest.approx(log(4) - 0.75)


def test_repetition_counts_token_pairs_used_before():
    assert statistics.repetition([1, 2, 3, 4]) == 0
    assert statistics.repetition([1, 2, 1, 2]) == pytest.approx(1 / 3)
    assert statistics.repetition([5]) == statistics.repetition([]) == 0


def test_clusters_of_one_give_the_interval_over_prompts():
    values = np.random.default_rng(9).random(70)
    alone = [f"prompt {number}" for number in range(70)]
    assert statistics.mean_interval(values, BOOTSTRAP, alone) == statistics.mean_interval(values, BOOTSTRAP)


def test_prompts_that_stand_there_several_times_say_no_more_than_once():
    values = np.random.default_rng(10).random(70)
    copies, ids = np.repeat(values, 4), [str(number) for number in range(70) for _ in range(4)]
    clustered, plain = statistics.mean_interval(copies, BOOTSTRAP, ids), statistics.mean_interval(copies, BOOTSTRAP)
    assert clustered == pytest.approx(statistics.mean_interval(values, BOOTSTRAP))
    assert clustered.high - clustered.low > 1.6 * (plain.high - plain.low)
    assert statistics.widest_interval(copies, BOOTSTRAP, [ids]) == clustered
    assert statistics.widest_interval(copies, BOOTSTRAP, [["all"] * 280]) == plain


def test_large_clusters_count_by_their_prompts():
    """Eight prompts of one cluster are won, two of their own lost: three draws of clusters have that one k times."""
    clusters = ["a"] * 8 + ["b", "c"]
    found = statistics.mean_interval([1.0] * 8 + [0.0] * 2, Bootstrap(2000, 0.6, 3), clusters)
    assert found == pytest.approx((0.8, 0.0, 16 / 17))  # k = 0 in 30% of draws, k < 2 in 74%, k < 3 in 96%


def test_the_order_of_prompts_and_the_names_of_clusters_do_not_matter():
    generator = np.random.default_rng(11)
    values, codes = generator.random(60), generator.integers(0, 9, 60)
    shuffled = generator.permutation(60)
    forth = statistics.mean_interval(values, BOOTSTRAP, [f"c{code}" for code in codes])
    back = statistics.mean_interval(values[shuffled], BOOTSTRAP, [f"d{9 - code}" for code in codes[shuffled]])
    assert forth == back


def test_the_interval_over_clusters_holds_the_truth_as_often_as_it_says():
    """Clusters of one to eight prompts share half of their luck: the plain interval holds the mean too seldom."""
    generator, held = np.random.default_rng(12), np.zeros(2)
    for _ in range(200):
        sizes = generator.integers(1, 9, 60)
        codes = np.repeat(np.arange(60), sizes)
        values = generator.normal(size=60)[codes] + generator.normal(size=len(codes))
        ids = [str(code) for code in codes]
        for place, clusters in enumerate((None, ids)):
            found = statistics.mean_interval(values, Bootstrap(200, 0.95, 5), clusters)
            held[place] += found.low <= 0 <= found.high
    assert held[0] / 200 < 0.85 < 0.9 < held[1] / 200 < 0.98


@pytest.mark.parametrize(
    ("found", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # .005 x 4, .01 x 3, .03 x 2, then not below that
        ([0.5, 0.4], [0.8, 0.8]),
        ([0.9, 0.6, 0.001], [1.0, 1.0, 0.003]),
        ([0.02], [0.02]),
    ],
)
def test_holms_p_values_are_those_of_a_table_by_hand(found, adjusted):
    assert statistics.holm(found) == pytest.approx(adjusted)


def test_what_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match=r"^holm: expected p-values in 0\.\.1, got 0\.5 to 1\.5$"):
        statistics.holm([0.5, 1.5])


def test_pairs_of_like_lengths_are_within_a_tenth_of_the_shorter():
    first, second = [10, 11, 20, 12, 0, 0], [11, 10, 10, 10, 0, 1]
    found = statistics.paired_length_overlap([1, 1, 0, 0, 0.5, 0], first, second, BOOTSTRAP, [["a"] * 6])
    assert found.share == 0.5
    assert found.win_rate.mean == pytest.approx(2.5 / 3)
    assert statistics.paired_length_overlap([1.0], [5], [9], BOOTSTRAP, []) == (0.0, None)


def test_the_interval_of_pairs_of_like_lengths_is_over_their_own_clusters():
    outcome = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.5, 0.5]
    ids = ["a"] * 3 + ["b"] * 3 + ["c"] * 2
    found = statistics.paired_length_overlap(outcome, [9] * 8, [9] * 6 + [50] * 2, BOOTSTRAP, [ids])
    assert found.win_rate == statistics.mean_interval(outcome[:6], BOOTSTRAP, ids[:6])
