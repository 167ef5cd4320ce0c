"""Simulated labelers: gold with personal weights, biases for length and politeness, strictness and noise; ranks with ties.

utility = weighted mean of gold's criteria under the labeler's own weights (fabrication and repetition as in gold)
          + length_bias * log-length + politeness_bias * politeness + N(0, sigma)
Ranks are of utilities, scores of utility - strictness. Personal values are drawn one after another: draw a new one last.
"""

import math
from random import Random
from typing import NamedTuple

from rlhf.world.answering import demonstrations
from rlhf.world.asking.requests import Task
from rlhf.world.grading import gold

SCALE = (1, 7)  # of scores


class Habits(NamedTuple):
    """What labelers have in common, and the ranges (low, high) that personal biases are drawn from."""

    sigma: float
    tie: float
    weight_spread: float
    length_bias: tuple[float, float]
    politeness_bias: tuple[float, float]
    strictness: tuple[float, float]


class Labeler(NamedTuple):
    """One labeler: id, factor on each of gold's weights, biases in units of gold, noise and the difference called a tie."""

    name: str
    factors: dict[str, float]
    length_bias: float
    politeness_bias: float
    strictness: float
    sigma: float
    tie: float


def make(seed: int, num_training: int, num_held_out: int, habits: Habits) -> tuple[list[Labeler], list[Labeler]]:
    """Return the training labelers ("labeler_1", ...) and the held-out ones ("held_out_1", ...).

    Weights are multiplied by U(1 - weight_spread, 1 + weight_spread); biases and strictness are uniform in their (low, high) ranges.
    """

    def draw(name: str) -> Labeler:
        rng = Random(f"labeler {seed} {name}")
        factors = {
            criterion: rng.uniform(1 - habits.weight_spread, 1 + habits.weight_spread) for criterion in gold.WEIGHTS
        }
        return Labeler(
            name,
            factors,
            rng.uniform(*habits.length_bias),
            rng.uniform(*habits.politeness_bias),
            rng.uniform(*habits.strictness),
            habits.sigma,
            habits.tie,
        )

    return [draw(f"labeler_{number + 1}") for number in range(num_training)], [
        draw(f"held_out_{number + 1}") for number in range(num_held_out)
    ]


def rank(task: Task, responses: list[str], labeler: Labeler, rng: Random) -> tuple[list[int], list[int]]:
    """Return the labeler's (scores, ranks) of K responses: scores on SCALE, ranks from 1 (best) with ties."""
    usual = math.log1p(len(demonstrations.ideal(task)))
    utilities = [_utility(task, response, usual, labeler, rng) for response in responses]
    low, high = SCALE
    scores = [min(high, max(low, round(low + (high - low) * (utility - labeler.strictness)))) for utility in utilities]
    return scores, ranked(utilities, labeler.tie)


def _utility(task: Task, response: str, usual: float, labeler: Labeler, rng: Random) -> float:
    """`usual` is the ideal answer's log-length."""
    personal = gold.score(task, response, labeler.factors)
    length = math.log1p(len(response)) / usual
    politeness = personal.criteria["politeness"]
    return (
        personal.score
        + labeler.length_bias * length
        + labeler.politeness_bias * politeness
        + rng.gauss(0, labeler.sigma)
    )


def ranked(utilities: list[float], tie: float) -> list[int]:
    """Return dense ranks; an answer less than `tie` below the best of its group shares the group's rank."""
    order = sorted(range(len(utilities)), key=lambda index: -utilities[index])
    ranks, current, leader = [0] * len(utilities), 0, math.inf
    for index in order:
        if leader - utilities[index] >= tie:
            current, leader = current + 1, utilities[index]
        ranks[index] = current
    return ranks
