"""Gold and labelers of any task: the world's by the world's rules, instructions by their verification."""

from random import Random

import pytest

from rlhf.grading import gold, labelers
from rlhf.instructions import source as instructions
from rlhf.world import source as world
from rlhf.world.grading import gold as of_world
from rlhf.world.grading import labelers as crew

HABITS = crew.Habits(0.0, 0.02, 0.4, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))


def test_the_worlds_tasks_are_scored_as_before():
    for record in world.records(3, 0, 40, "seen"):
        assert gold.score(record["task"], record["response"]) == of_world.score(record["task"], record["response"])
        assert gold.strict(record["task"], record["response"]) == of_world.strict(record["task"], record["response"])


def test_a_labeler_without_noise_ranks_the_demonstration_first():
    labeler = crew.make(0, 1, 1, HABITS)[0][0]
    for record in instructions.records(3, 60, "training"):
        responses = ["No.", record["response"], record["response"][: len(record["response"]) // 2]]
        scores, ranks = labelers.rank(record["task"], responses, labeler, Random(0))
        assert ranks[1] == 1
        assert ranks[0] == max(ranks)
        assert scores[1] == max(scores) == 7


def test_labelers_weigh_the_criteria_each_in_their_own_way():
    found = [labelers.own_factors(one) for one in crew.make(0, 3, 1, HABITS)[0]]
    assert all(set(factors) == {"instruction", "form", "substance"} for factors in found)
    assert len({tuple(factors.values()) for factors in found}) == 3
    assert all(0.6 <= value <= 1.4 for factors in found for value in factors.values())


def test_noise_is_the_labelers_own_luck():
    labeler = crew.make(0, 1, 1, HABITS._replace(sigma=0.3))[0][0]
    (record,) = instructions.records(3, 1, "training")
    responses = [f"{record['response']} {more}" for more in ("A.", "B.", "C.", "D.")]
    ranked = {tuple(labelers.rank(record["task"], responses, labeler, Random(seed))[1]) for seed in range(20)}
    assert len(ranked) > 3


@pytest.mark.parametrize("family", [None, "world"])
def test_what_is_no_instruction_is_the_worlds(family):
    (record,) = world.records(3, 0, 1, "seen")
    task = record["task"] | ({"family": family} if family else {})
    assert not gold.is_instruction(task)
