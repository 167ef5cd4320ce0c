"""Student's t: what tables have of it, and what is known of it in closed form."""

import pytest

from study.evidence import student


@pytest.mark.parametrize(
    ("freedom", "at_95", "at_99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (10, 2.228, 3.169),
        (31, 2.040, 2.744),
        (599, 1.964, 2.584),
    ],
)
def test_quantiles_are_those_of_the_tables(freedom, at_95, at_99):
    assert student.quantile(0.95, freedom) == pytest.approx(at_95, abs=6e-4)
    assert student.quantile(0.99, freedom) == pytest.approx(at_99, abs=6e-4)


def test_tails_of_one_and_two_degrees_are_cauchys_and_algebraic():
    assert student.tail(1.0, 1) == pytest.approx(0.25)
    for t in (0.1, 1.0, 5.0):
        assert student.tail(t, 2) == pytest.approx(0.5 - t / (2 * (2 + t * t) ** 0.5))


@pytest.mark.parametrize("freedom", [1, 2, 7, 24])
def test_both_sides_are_alike_and_a_larger_t_is_rarer(freedom):
    assert student.tail(0.0, freedom) == pytest.approx(0.5)
    for t in (0.5, 2.0):
        assert student.tail(-t, freedom) == pytest.approx(1 - student.tail(t, freedom))
        assert student.tail(t, freedom) > student.tail(2 * t, freedom)
        assert student.tail(student.quantile(0.9, freedom), freedom) == pytest.approx(0.05)
    assert 0 <= student.tail(1e9, freedom) < 1e-9
