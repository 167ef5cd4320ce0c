"""Figures read one way: a real minus, bounds that cannot be taken for signs, one mark for what is missing."""

from rlhf.evaluation import typography
from rlhf.evaluation.statistics import Interval


def test_an_interval_below_zero_cannot_be_misread():
    assert typography.interval(Interval(-0.28, -0.354, -0.21)) == "−0.28 (−0.35 to −0.21)"
    assert typography.interval(Interval(0.2, 0.1, 0.3), 1, sign=True) == "+0.2 (+0.1 to +0.3)"


def test_a_figure_that_no_resample_changes_has_no_bounds_and_a_missing_one_its_mark():
    assert typography.interval(Interval(1.0, 1.0, 1.0)) == "1.00"
    assert typography.percent_interval(Interval(1.0, 1.0, 1.0)) == "100%"
    assert typography.interval(None) == typography.percent_interval(None) == typography.MISSING


def test_shares_carry_one_percent_sign_a_figure():
    assert typography.percent_interval(Interval(0.7434, 0.718, 0.767)) == "74% (72 to 77%)"
    assert typography.percent_interval(Interval(0.7434, 0.718, 0.767), 1) == "74.3% (71.8 to 76.7%)"


def test_zero_has_no_sign_and_thousands_are_set_apart():
    assert typography.number(-0.001) == "0.00"
    assert typography.number(-1234.5, 1) == "−1,234.5"
