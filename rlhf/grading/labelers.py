"""Simulated labelers of any prompt with a task: gold with a labeler's own weights, taste for length and noise."""

import math
from random import Random

from rlhf.grading import gold
from rlhf.instructions import grading
from rlhf.world.grading import labelers
from rlhf.world.grading.labelers import SCALE, Labeler

USUAL_CHARACTERS = 100  # of an answer to an instruction, at which taste for length begins to be felt


def rank(task: gold.Task, responses: list[str], labeler: Labeler, rng: Random) -> tuple[list[int], list[int]]:
    """Return the labeler's (scores, ranks) of K responses: scores on SCALE, ranks from 1 (best) with ties."""
    if not gold.is_instruction(task):
        return labelers.rank(task, responses, labeler, rng)
    factors = own_factors(labeler)
    utilities = [
        grading.score(task, response, factors).score
        + labeler.length_bias * math.log1p(len(response)) / math.log1p(USUAL_CHARACTERS)
        + rng.gauss(0, labeler.sigma)
        for response in responses
    ]
    low, high = SCALE
    wished = [low + (high - low) * (utility - labeler.strictness) for utility in utilities]
    scores = [min(high, max(low, round(one))) for one in wished]
    return scores, labelers.ranked(utilities, labeler.tie)


def own_factors(labeler: Labeler) -> dict[str, float]:
    """Return a labeler's factors on the weights of instructions: those on the first criteria of the world."""
    return dict(zip(grading.WEIGHTS, labeler.factors.values(), strict=False))
