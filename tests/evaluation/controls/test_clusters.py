"""Which prompts are one case: by task and by subject."""

import random

from rlhf.evaluation.controls import clusters
from rlhf.instructions import source
from rlhf.world.asking import tasks


def prompt(task: dict | None, text: str = "?") -> dict:
    found = {"messages": [{"role": "user", "content": text}], "category": "chat", "language": "en"}
    return found if task is None else found | {"task": task}


FOX = {"kind": "fact", "language": "en", "animal": "fox", "relations": ["eats"], "form": False}


def test_one_task_in_two_wordings_is_one_and_another_slot_is_another():
    asked = [prompt(FOX, "What?"), prompt(dict(reversed(FOX.items())), "Tell me."), prompt(FOX | {"form": True})]
    first, again, other = clusters.of(asked).tasks
    assert first == again != other
    assert len({*clusters.of(asked).subjects}) == 1


def test_a_subject_is_of_one_kind_and_language():
    others = [{"animal": "cat"}, {"kind": "facts"}, {"language": "zh"}]
    asked = [prompt(FOX), *(prompt(FOX | change) for change in others)]
    assert len({*clusters.of(asked).subjects}) == 4


def test_a_kind_that_names_no_subject_is_one():
    replaced = {"kind": "replace", "language": "en", "old": "Mia", "new": "Max"}
    found = clusters.of([prompt(replaced), prompt(replaced | {"old": "Tom"})])
    assert len({*found.subjects}) == 1
    assert len({*found.tasks}) == 2


def test_without_tasks_equal_prompts_are_one_and_others_are_not():
    found = clusters.of([prompt(None, "Why?"), prompt(None, "Why?"), prompt(None, "How?")])
    for ids in found:
        assert ids[0] == ids[1] != ids[2]


def test_the_worlds_prompts_are_fewer_subjects_than_tasks_and_fewer_tasks_than_prompts():
    rng = random.Random(2)
    drawn = [tasks.draw(rng, "held_out") for _ in range(600)]
    found = clusters.of([prompt(task) for task, _, _ in drawn])
    assert 300 < len({*found.tasks}) < 580
    assert 80 < len({*found.subjects}) < 160


def test_instructions_on_one_topic_are_one_subject():
    made = list(source.records(1, 300, "training"))
    found = clusters.of(made)
    for record, subject in zip(made, found.subjects, strict=True):
        same = [
            one for one, other in zip(made, found.subjects, strict=True)
            if other == subject
        ]  # fmt: skip
        assert {(one["task"]["kind"], *one["task"]["stems"]) for one in same} == {
            (record["task"]["kind"], *record["task"]["stems"])
        }
