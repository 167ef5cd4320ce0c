"""Gao's forms of over-optimisation, their peaks, and the monitor that says when one lies behind."""

import math

import numpy as np
import pytest

from rlhf.rl import overoptimisation
from rlhf.rl.overoptimisation import fit, peak_is_behind


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_a_curve_of_the_form_gives_its_numbers_back(form):
    distance = np.linspace(0.2, 6, 30)
    falling = np.log(distance) if form == "rl" else distance
    found = fit(distance, distance * (0.5 - 0.2 * falling), form)
    assert (found.alpha, found.beta, found.r_squared) == pytest.approx((0.5, 0.2, 1.0))
    assert found.gain([2.0], form) == pytest.approx(2 * (0.5 - 0.2 * (math.log(2) if form == "rl" else 2)))


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_the_peak_is_where_the_fitted_gain_is_highest(form):
    found = overoptimisation.Fit(alpha=0.5, beta=0.25, r_squared=1.0)
    grid = np.linspace(0.01, 10, 100_000)
    assert found.peak(form) == pytest.approx(grid[found.gain(grid, form).argmax()], abs=1e-3)
    assert overoptimisation.Fit(0.5, 0.0, 1.0).peak(form) == math.inf
    assert overoptimisation.Fit(0.5, 1e-6, 1.0).peak("rl") == math.inf


def test_a_start_without_distance_says_nothing_and_two_points_are_too_few():
    distance = np.array([0.0, 1.0, 2.0, 3.0])
    assert fit(distance, [9.0, 1.0, 1.5, 1.6], "rl") == fit(distance[1:], [1.0, 1.5, 1.6], "rl")
    with pytest.raises(ValueError, match="three points"):
        fit(distance[:3], [0.0, 1.0, 1.5], "rl")


def curve(
    num_points: int, turn: float, noise: float = 0.0, first: float = 0.05
) -> tuple[list[float], list[float], list[float]]:
    """Return kl, gold and its error over iterations; gold peaks at a distance of `turn`."""
    distance = np.linspace(first, 4, num_points)
    gain = distance * (0.3 * (1 + math.log(turn)) - 0.3 * np.log(np.maximum(distance, 1e-12)))
    luck = np.random.default_rng(0).normal(0, noise, num_points)
    return list(distance**2), list(0.5 + gain + luck), [max(noise, 0.005)] * num_points


def test_the_monitor_speaks_once_gold_has_fallen_behind_its_peak():
    why = peak_is_behind(range(1, 41), *curve(40, turn=1.5, noise=0.02))
    assert why is not None
    assert "over-optimisation" in why
    assert "ppo.kl_coef" in why


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_the_monitor_names_the_peak_of_the_gain_wherever_gold_began(start):
    """At distances 0, 0.1, ..., 4 gold gains most at 1.5; the last five are 3.8 from the start on average."""
    kl, gold, error = curve(41, turn=1.5, first=0.0)
    why = peak_is_behind(range(1, 42), kl, [score - 0.5 + start for score in gold], error)
    best, now = (sum(gold[i : i + 5]) / 5 - 0.5 + start for i in (13, 36))
    assert f"gold was {best:.3f} at iteration 16, now {now:.3f};" in why
    assert "its fitted peak lies at a KL of 2.25 nats, the policy is at 14.44." in why
    every_second = peak_is_behind(range(1, 83, 2), kl, [score - 0.5 + start for score in gold], error)
    assert every_second == why.replace("iteration 16", "iteration 31")


@pytest.mark.parametrize(
    ("points", "turn", "noise"), [(40, 6.0, 0.02), (9, 1.0, 0.0), (40, 3.9, 0.02)], ids=["rises", "short", "flat"]
)
def test_the_monitor_is_silent_while_gold_rises_or_stands(points, turn, noise):
    assert peak_is_behind(range(points), *curve(points, turn, noise)) is None


def test_the_monitor_is_not_fooled_by_noise():
    calls = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        kl, gold = np.linspace(0, 3, 20), 0.6 + rng.normal(0, 0.02, 20)
        calls += peak_is_behind(range(20), list(kl), list(gold), [0.02] * 20) is not None
    assert calls <= 6  # 3%
