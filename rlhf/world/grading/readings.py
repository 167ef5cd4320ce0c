"""What a rule says about one sentence of an answer, and what the world holds true."""

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from rlhf.world import chinese, knowledge
from rlhf.world.asking.requests import Task
from rlhf.world.grammar import Slots

ON, OFF, FALSE, BARE, JUNK = "on", "off", "false", "bare", "junk"


class Reading(NamedTuple):
    """What one sentence does: its verdict, the needs it meets (key -> credit in [0, 1]) and the keys of what it says (for repeats)."""

    verdict: str
    met: dict[str, float] = {}
    says: tuple = ()


class Rule(NamedTuple):
    """needs(task): key -> criterion; read(task, template, slots): Reading or None where the template says nothing about this task."""

    needs: Callable[[Task], dict[str, str]]
    read: Callable[[Task, str, Slots], Reading | None]


def world_of(task: Task) -> ModuleType:
    """Return the module whose facts, groups and names the task is about."""
    return chinese if task["language"] == "zh" else knowledge


def holds(task: Task, relation: str, slots: Slots) -> bool:
    """Say whether a statement is true; "it" is the task's animal, and nothing is true of a word that nobody knows."""
    animal = slots.get("animal", task.get("animal", task.get("word", "")))
    facts = world_of(task).ANIMALS.get(animal, {})
    return facts.get(relation) == slots[relation]


def unseen(*what: object) -> tuple:
    """Return what an off-topic sentence says, so that saying it twice is a repetition but never an item that was asked for."""
    return (("off", *what),)
