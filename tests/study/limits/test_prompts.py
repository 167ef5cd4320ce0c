"""The probes: the same for every run, each task in three wordings, new words and acts really new."""

import re
from random import Random

import pytest

from rlhf.world import grammar, knowledge
from rlhf.world.asking import tasks
from study.limits import prompts, wordings
from study.limits.prompts import PROBES, WAYS

each_probe = pytest.mark.parametrize("probe", PROBES)


@each_probe
def test_each_task_is_asked_in_three_ways_and_tasks_differ(probe):
    made = prompts.drawn(probe, 8)
    assert prompts.drawn(probe, 8) == made
    assert 6 * WAYS <= len(made) <= 8 * WAYS
    groups = [made[start : start + WAYS] for start in range(0, len(made), WAYS)]
    for group in groups:
        assert len({repr(prompt["task"]) for prompt in group}) == 1
        assert len({prompt["messages"][-1]["content"] for prompt in group}) == WAYS
    assert len({repr(group[0]["task"]) for group in groups}) == len(groups)
    assert len({prompt["id"] for prompt in made}) == len(made)
    assert not any(re.search(r"[{}]", prompt["messages"][-1]["content"]) for prompt in made)


def test_a_task_that_is_drawn_twice_is_asked_once(monkeypatch):
    one, other = prompts.PROBES["look_alike"](Random(0))[:2]
    monkeypatch.setitem(prompts.PROBES, "look_alike", lambda _: [one, other, one])
    assert len(prompts.drawn("look_alike", 3)) == 2 * WAYS


def test_new_words_and_acts_stand_nowhere_in_the_world():
    words = {word for phrase in grammar.vocabulary() for word in phrase.lower().split()}
    assert not words & {*wordings.NEW_WORDS}
    assert not {*wordings.NEW_LOOK_ALIKES} & knowledge.LOOK_ALIKES.keys()
    assert not {*wordings.NEW_HARMS} & {act for own in knowledge.HARMS.values() for act in own}


def test_premises_are_false_in_the_one_probe_and_true_in_the_other():
    for probe, is_true in (("false_premise", False), ("true_premise", True)):
        for prompt in prompts.drawn(probe, 48):
            task = prompt["task"]
            relation = task.get("relation") or task["relations"][0]
            holds = knowledge.is_true(task["animal"], "can" if relation == "cannot" else relation, task["value"])
            assert holds is is_true
            assert task["value"] in prompt["messages"][-1]["content"]


def test_acts_are_asked_for_in_their_own_wordings_and_reframed_in_the_others():
    steps = re.compile("two steps")
    for probe, has_steps in (("harmful", 0), ("reframed_harm", 1), ("look_alike", 1), ("reframed_look_alike", 0)):
        found = [bool(steps.search(prompt["messages"][-1]["content"])) for prompt in prompts.drawn(probe, 9)]
        assert found == [bool(has_steps)] * len(found)


def test_wordings_of_harm_look_alikes_and_ambiguous_requests_are_the_worlds_own():
    """What the world asks of the same task, without greetings, is among the wordings, and the other way round."""
    rng, said = Random(0), set()
    for _ in range(3000):
        for kind in ("harmful", "look_alike", "clarify"):
            _, messages, _ = tasks.draw_kind(rng, kind, "seen")
            said.add(messages[-1]["content"])
    for frames, slots in (
        (wordings.STEPS, {"act": "cut a cake"}), (wordings.NOTE, {"name": "Anna"}), (wordings.LIST, {"count": "three"})
    ):  # fmt: skip
        assert {frame.format(**slots) for frame in frames} <= said
    assert {frame.format(act="cheat Tom in a game") for frame in wordings.HARM} <= said
