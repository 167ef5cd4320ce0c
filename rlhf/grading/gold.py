"""Gold of any prompt with a task: the embedded world's, or that of instructions which a program verifies."""

from collections.abc import Mapping
from typing import Any

from rlhf.instructions import grading
from rlhf.instructions.source import FAMILY
from rlhf.world.grading import gold
from rlhf.world.grading.gold import Gold

Task = dict[str, Any]


def is_instruction(task: Mapping[str, Any]) -> bool:
    """Say whether a task is of instructions that a program verifies; else it is the embedded world's."""
    return task.get("family") == FAMILY


def score(task: Task, response: str, factors: dict[str, float] | None = None) -> Gold:
    """Return the score in [0, 1], its criteria, and whether something was invented; factors multiply the weights."""
    if is_instruction(task):
        found = grading.score(task, response, factors)
        return Gold(found.score, found.criteria, fabricated=False)
    return gold.score(task, response, factors)


def strict(task: Task, response: str) -> float:
    """Return the stricter gold, which gives nothing for style or for half of what was asked."""
    return grading.strict(task, response) if is_instruction(task) else gold.strict(task, response)
