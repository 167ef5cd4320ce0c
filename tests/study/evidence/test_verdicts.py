"""Verdicts: what an interval says at its borders, and what keeps one that would confirm from confirming."""

import pytest

from rlhf.evaluation.statistics import Interval
from study.evidence import estimates, student, verdicts
from study.evidence.estimates import Estimate, Sample


@pytest.mark.parametrize(
    ("interval", "expected", "verdict"),
    [
        ((0.1, 0.04, 0.2), "positive", "confirmed"),
        ((0.1, 0.039, 0.2), "positive", "inconclusive"),  # it may be less than matters
        ((0.01, -0.02, 0.04), "positive", "inconclusive"),  # what matters is not excluded
        ((0.02, 0.01, 0.039), "positive", "not confirmed"),  # above 0, and of no interest
        ((-0.1, -0.2, -0.05), "positive", "not confirmed"),
        ((-0.1, -0.2, -0.04), "negative", "confirmed"),
        ((-0.1, -0.2, -0.039), "negative", "inconclusive"),
        ((0.1, 0.05, 0.15), "negative", "not confirmed"),
        ((0.0, -0.041, 0.03), "none", "inconclusive"),
        ((0.0, -0.039, 0.039), "none", "confirmed"),
        ((0.02, 0.001, 0.05), "none", "inconclusive"),  # not 0, but perhaps of no interest
        ((0.06, 0.041, 0.08), "none", "not confirmed"),
        ((-0.06, -0.08, -0.041), "none", "not confirmed"),
        ((0.3, 0.2, 0.4), [0.2, 0.4], "confirmed"),
        ((0.45, 0.4, 0.5), [0.2, 0.4], "inconclusive"),
        ((0.15, 0.1, 0.19), [0.2, 0.4], "not confirmed"),
    ],
)
def test_what_an_interval_says_at_the_borders(interval, expected, verdict):
    assert verdicts.by_interval(Interval(*interval), expected, 0.04) == verdict


def found(effect: float, error: float, freedom: int = 12, of_seeds=(0.1, 0.1, 0.1), knows: bool = True) -> Estimate:
    return Estimate(effect, error, freedom, of_seeds, knows)


@pytest.mark.parametrize("expected", ["positive", "negative", "none", [-0.1, 0.5]])
def test_the_p_value_is_5_percent_where_the_interval_touches_what_refutes(expected):
    reach = student.quantile(0.95, 12) * 0.02
    touching = {"positive": reach, "negative": -reach, "none": 0.3 - reach}
    effect = touching[expected] if isinstance(expected, str) else reach - 0.1
    assert verdicts.p_value(found(effect, 0.02), expected, 0.3) == pytest.approx(0.05)


def test_an_effect_on_the_other_side_has_a_p_value_of_1():
    assert verdicts.p_value(found(-0.1, 0.02), "positive", 0.04) == 1.0
    assert verdicts.p_value(found(0.1, 0.02), "none", 0.04) == 1.0


def test_an_effect_beyond_what_matters_is_confirmed_over_three_seeds_and_after_the_correction():
    strong = found(0.2, 0.01)
    assert verdicts.judged(strong, "positive", 0.04, 0.049, 0.95) == ("confirmed", [])
    verdict, reasons = verdicts.judged(strong, "positive", 0.04, 0.05, 0.95)
    assert verdict == "inconclusive"
    assert reasons == ["its interval alone would do, but not after Holm's correction for all claims"]


def test_fewer_than_three_seeds_leave_it_open_at_most():
    one = found(0.2, 0.01, of_seeds=(0.2,), knows=False)
    verdict, reasons = verdicts.judged(one, "positive", 0.04, 0.0, 0.95)
    assert verdict == "inconclusive"
    assert reasons == ["one seed", "its interval knows nothing of other seeds"]
    two = found(0.2, 0.01, of_seeds=(0.2, 0.2))
    assert verdicts.judged(two, "positive", 0.04, 0.0, 0.95) == ("inconclusive", ["2 seeds, fewer than 3"])
    assert verdicts.judged(two, "negative", 0.04, 1.0, 0.95).verdict == "not confirmed"
    assert verdicts.judged(one, "negative", 0.04, 1.0, 0.95).verdict == "inconclusive"  # another seed may be otherwise


def test_seeds_that_disagree_in_sign_are_said():
    samples = [Sample(effect, [{}]) for effect in (-0.139, -0.049, 0.026)]
    verdict, reasons = verdicts.judged(estimates.over_seeds(samples, None), "negative", 0.02, 1.0, 0.95)
    assert (verdict, reasons) == ("inconclusive", ["the seeds disagree in sign"])


def test_an_error_that_knows_nothing_of_seeds_has_a_p_value_of_1():
    assert verdicts.p_value(found(0.2, 0.01, of_seeds=(0.2,), knows=False), "positive", 0.04) == 1.0
    assert verdicts.p_value(found(0.2, 0.01, of_seeds=(0.2,)), "positive", 0.04) < 1e-6
