"""Every param, changed: DVC calls stale exactly the stages that the table names, and then all that build on them."""

import copy
from functools import reduce
from operator import getitem

import pytest

from rlhf.runtime.flat import flatten
from tests import toys

ROUND = ("collect_answers@r1", "collect_comparisons@r1", "reward_model@r1", "ppo@r1")
RIVALS = ("feedme", "rejection", "dpo")
TRAINING = ("pretrain", "sft", *ROUND, *RIVALS, "judge")
DIRECT = {  # section of params.yaml, or a key of one that other stages read too: stages that read it
    "seed": {"collect_prompts", *TRAINING, "moderation", "evaluate"},
    "runtime": {*TRAINING, "moderation", "evaluate"},
    "rounds": {"collect_answers@r1", "collect_comparisons@r1", "evaluate"},
    "tracking": set(),
    "checkpoints": set(),
    "collect_prompts": {"collect_prompts"},
    "pretrain": {"pretrain"},
    "sft": {"sft"},
    "collect_answers": {"collect_answers@r1"},
    "collect_comparisons": {"collect_comparisons@r1"},
    "reward_model": {"reward_model@r1"},
    "rewards": {"ppo@r1", "rejection", "evaluate"},
    "rewards.trained": {"reward_model@r1", "ppo@r1", "rejection", "evaluate"},
    "ppo": {"ppo@r1"},
    "feedme": {"feedme"},
    "rejection": {"rejection"},
    "dpo": {"dpo"},
    "judge": {"judge"},
    "moderation": {"moderation"},
    "evaluate": {"evaluate"},
}
BEHIND = {  # what is rerun after a stage, if its outputs differ
    "collect_prompts": {*TRAINING, "evaluate"},
    "pretrain": {"sft", *ROUND, *RIVALS, "judge", "evaluate"},
    "sft": {*ROUND, *RIVALS, "judge", "evaluate"},
    "collect_answers@r1": {*ROUND[1:], *RIVALS, "judge", "evaluate"},
    "collect_comparisons@r1": {*ROUND[2:], *RIVALS, "judge", "evaluate"},
    "reward_model@r1": {"ppo@r1", "rejection", "evaluate"},
    "ppo@r1": {"evaluate"},
    "feedme": {"evaluate"},
    "rejection": {"evaluate"},
    "dpo": {"evaluate"},
    "judge": {"evaluate"},
    "moderation": {"evaluate"},
    "evaluate": set(),
}


def chosen(content: dict, paths: list[str]) -> dict:
    """Return what stands at these dotted paths, as DVC reads it."""
    return copy.deepcopy({path: reduce(getitem, path.split("."), content) for path in paths})


@pytest.fixture(scope="module")
def repo():
    from dvc.repo import Repo

    return Repo(str(toys.REPO))


def of_the_pipeline(stages) -> list:
    """Return the stages of the main graph; the laboratory has its own."""
    return [stage for stage in stages if stage.path_in_repo == "dvc.yaml"]


@pytest.fixture(scope="module")
def content() -> dict:
    return toys.read_yaml(toys.REPO / "params.yaml")


def test_every_leaf_makes_exactly_the_declared_stages_stale(repo, content, monkeypatch):
    from dvc.dependency import param

    watching = [
        (stage.addressing, dep)
        for stage in of_the_pipeline(repo.index.stages)
        for dep in stage.deps
        if isinstance(dep, param.ParamsDependency)
    ]
    for _, dep in watching:
        dep.fill_values(chosen(content, dep.params))
    found = flatten(content)
    assert len(found) > 200
    for path in found:
        changed = copy.deepcopy(content)
        toys.put(changed, path, "another value")
        monkeypatch.setattr(param, "read_param_file", lambda fs, file, keys, flatten, now=changed: chosen(now, keys))
        stale = {address for address, dep in watching if dep.status()}
        assert stale == DIRECT.get(path, DIRECT[path.partition(".")[0]]), path


def test_the_table_has_every_section(content):
    assert {name.partition(".")[0] for name in DIRECT} == set(content)


def test_what_builds_on_a_stage_is_what_dvc_would_rerun(repo):
    graph = repo.index.graph
    names = {stage.addressing: stage for stage in of_the_pipeline(graph)}
    assert set(names) == set(BEHIND)
    for name, expected in BEHIND.items():
        waiting, found = [names[name]], set()
        while waiting:
            for other in graph.predecessors(waiting.pop()):  # an edge leads from a stage to what it reads
                if other.addressing not in found:
                    found.add(other.addressing)
                    waiting.append(other)
        assert found == expected, name
