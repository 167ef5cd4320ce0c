"""Simulated labelers, one or several, rank answers to prompts with a task, whose gold they see through noise."""

import random
from collections.abc import Sequence

from rlhf.grading import labelers as grading
from rlhf.labelers.answered import Answered, Labelled, Ranking
from rlhf.params.labelers.kinds import Simulated
from rlhf.records.types import Label
from rlhf.runtime import seeds
from rlhf.world.grading import labelers


def rank(answered: Sequence[Answered], params: Simulated, seed: int, held_out: bool) -> Ranking:
    """Return each prompt with its labels, of training labelers or of held-out ones."""
    group = crew(params)[1 if held_out else 0]
    return Ranking([label(one, group, params, seed) for one in answered], {})


def label(answered: Answered, group: list[labelers.Labeler], params: Simulated, seed: int) -> Labelled:
    """Return the prompt with one labeler's ranking, or those of several of the group."""
    prompt, responses = answered
    assert "task" in prompt  # the stage asks for no other
    draw = random.Random(seeds.derive(seed, prompt["id"], "labelers"))
    several = draw.random() < params.overlap_share
    count = min(params.overlap_labelers, len(group)) if several else 1
    labels = []
    for labeler in sorted(draw.sample(group, count), key=lambda labeler: labeler.name):
        luck = random.Random(seeds.derive(seed, prompt["id"], labeler.name))
        scores, ranks = grading.rank(prompt["task"], responses, labeler, luck)
        labels.append(Label(labeler=labeler.name, ranks=ranks, scores=scores, scale=list(labelers.SCALE)))
    return Labelled(prompt, responses, labels)


def crew(params: Simulated) -> tuple[list[labelers.Labeler], list[labelers.Labeler]]:
    """Return (training labelers, held-out labelers); the same people in every round and under every seed."""
    return labelers.make(
        0,
        params.num_training,
        params.num_held_out,
        labelers.Habits(
            sigma=params.noise,
            tie=params.tie_threshold,
            weight_spread=params.weight_spread,
            length_bias=(params.length_bias.low, params.length_bias.high),
            politeness_bias=(params.politeness_bias.low, params.politeness_bias.high),
            strictness=(params.strictness.low, params.strictness.high),
        ),
    )
