"""All tasks under all conditions, of the policies that a folder has: which test examples each has right."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation.policy_measures import Policy
from rlhf.models import loading
from rlhf.params.runtime import Runtime
from study.forms import answering, heads, tasks, verbalizer
from study.forms.tasks import TASKS
from study.params import Forms
from study.workspace import place_of

POLICIES = ("base", "sft", "feedme", "ppo")
TUNED = ("base",)  # policies of which a head is trained with the whole backbone, as GPT-1 is


def measure(data: Path, last_round: str, runtime: Runtime, settings: Forms) -> dict[str, Any]:
    """Return, for every task, its examples' clusters and chance; for every policy and condition who is right (1).

    Raises FileNotFoundError where the folder has no policy.
    """
    places = {name: place_of(name, last_round) for name in POLICIES}
    folders = {name: data / place for name, place in places.items()}
    there = {name: folder for name, folder in folders.items() if (folder / "config.json").exists()}
    if not there:
        raise FileNotFoundError(f"{data}: expected a policy in {', '.join(places.values())}; run dvc repro sft")
    shots = {"zero": 0, "one": 1, "few": settings.few_shots}
    found: dict[str, Any] = {"tasks": dict(_tasks(settings)), "policies": {}}
    found |= {what: {} for what in ("left_out", "refused", "unended")}
    for name, folder in there.items():
        policy = Policy(name, *loading.load_policy(folder, runtime))
        found["policies"][name] = {task: _task(policy, task, settings, shots, found) for task in TASKS}
        found["policies"][name][answering.TASK] = _stories(policy, settings, shots, found)
    return found


def _tasks(settings: Forms) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each task's clusters, chance, and whether its test examples have the commonest label of training."""
    for name, task in TASKS.items():
        tests, training = (tasks.examples(name, half, settings.test) for half in ("test", "training"))
        commonest = Counter(example.label for example in training).most_common(1)[0][0]
        majority = [int(example.label == commonest) for example in tests]
        yield name, _about([example.about for example in tests], 1 / task.num_labels, majority)
    asked, trained = answering.drawn("test", settings.stories), answering.drawn("training", settings.stories)
    commonest = Counter(story.result for story in trained).most_common(1)[0][0]
    majority = [int(story.result == commonest) for story in asked]
    yield answering.TASK, _about([story.numbers for story in asked], 0.0, majority)


def _about(subjects: Sequence[str], chance: float, majority: list[int]) -> dict[str, Any]:
    ids = [hashlib.md5(one.encode(), usedforsecurity=False).hexdigest()[:6] for one in subjects]
    return {"clusters": ids, "chance": round(chance, 4), "majority": majority}


def _task(
    policy: Policy, task: str, settings: Forms, shots: Mapping[str, int], found: dict[str, Any]
) -> dict[str, list[int]]:
    """Return by condition which of a task's test examples a policy has right."""
    training = tasks.examples(task, "training", settings.training)
    tests = tasks.examples(task, "test", settings.test)
    shown = verbalizer.sets_to_show(task, training, settings.shown_sets, settings.few_shots)
    asked = verbalizer.ask(policy, task, tests, shown, shots)
    labels = {"head_probe": heads.probe(policy, task, training, tests)}
    if policy.name in TUNED:
        labels["head_tuned"] = heads.tuned(policy, task, training, tests, settings)
    _keep(found["left_out"], policy, task, asked.left_out)
    return {
        condition: [int(label == test.label) for label, test in zip(chosen, tests, strict=True)]
        for condition, chosen in (labels | asked.labels).items()
    }


def _stories(policy: Policy, settings: Forms, shots: Mapping[str, int], found: dict[str, Any]) -> dict[str, list[int]]:
    tests = answering.drawn("test", settings.stories)
    asked = answering.ask(policy, tests, answering.drawn("training", settings.few_shots), shots)
    for what in ("left_out", "refused", "unended"):
        _keep(found[what], policy, answering.TASK, getattr(asked, what))
    return {condition: [int(is_right) for is_right in right] for condition, right in asked.right.items()}


def _keep(where: dict[str, Any], policy: Policy, task: str, what: Mapping[str, Any]) -> None:
    if what:
        where.setdefault(policy.name, {})[task] = dict(what)
