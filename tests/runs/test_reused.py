"""Which stages a pipeline built on as they were, and what DVC says of them."""

import json
from types import SimpleNamespace

import pytest

from rlhf.runs import changes
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import reused
from rlhf.runs.stage_name import StageName
from tests import notebook

PIPELINE = """
stages:
  sft: {cmd: x, outs: [data/sft]}
  ppo:
    foreach: ${rounds}
    do: {cmd: x, deps: [data/sft], outs: ['data/ppo/${key}']}
  judge: {cmd: x, outs: [data/judge]}
  evaluate: {cmd: x, deps: [data/ppo, data/judge, rlhf/rl]}
"""
NO_STORE = Store(SimpleNamespace(search_runs=lambda *_: [], search_experiments=list), "1")
PARAMS = {"rounds": {"r1": {"policy": "sft"}}}


def stale(root, name, params, ran) -> list[str]:
    return reused.stale(NO_STORE, root, reused.stages(root, name, params, ran), params).changes


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The targets that DVC was asked about, each time, in a repository whose lock has another round too."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    outs = {"sft": "data/sft", "ppo@r1": "data/ppo/r1", "ppo@r2": "data/ppo/r2", "judge": "data/judge"}
    for path in outs.values():
        (tmp_path / path).mkdir(parents=True)
    deps = {"ppo@r1": ["data/sft"], "ppo@r2": ["data/sft"]}
    notebook.write_lock(tmp_path, {title: [path] for title, path in outs.items()}, deps)
    calls = []

    def changed(root, targets, with_params):
        assert root == tmp_path
        assert not with_params
        calls.append(targets)
        return ["rlhf/rl"]

    monkeypatch.setattr(changes, "changed", changed)
    return calls


def test_stages_before_it_that_did_not_run_are_asked_about(asked, tmp_path):
    assert stale(tmp_path, StageName("evaluate"), PARAMS, {"judge", "evaluate"}) == ["rlhf/rl"]
    assert asked == [["ppo@r1", "sft"]]


def test_files_outside_the_project_may_be_read(asked, tmp_path):
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("rlhf/rl", "/elsewhere/prompts.jsonl"))
    assert stale(tmp_path, StageName("evaluate"), PARAMS, {"judge", "evaluate"}) == ["rlhf/rl"]


def test_stages_before_another_that_ran_are_asked_about_too(asked, tmp_path):
    """`dvc repro --single-item ppo@r1 judge`: nothing stands before `judge`, which ran last."""
    assert stale(tmp_path, StageName("judge"), PARAMS, {"ppo/r1", "judge"}) == ["rlhf/rl"]
    assert asked == [["sft"]]


def test_where_all_ran_dvc_is_not_asked(asked, tmp_path):
    assert stale(tmp_path, StageName("ppo", "r1"), PARAMS, {"sft", "ppo/r1"}) == []
    assert stale(tmp_path, StageName("sft"), PARAMS, {"sft"}) == []
    assert asked == []


def test_without_a_pipeline_nothing_was_reused(tmp_path):
    assert stale(tmp_path, StageName("sft"), PARAMS, set()) == []


def test_params_are_those_of_the_pipeline_whatever_params_yaml_says_by_now(asked, tmp_path):
    lock = json.loads((tmp_path / "dvc.lock").read_text())
    lock["stages"]["ppo@r1"]["params"] = {"params.yaml": {"seed": 17, "ppo": {"kl_coef": 0.05, "gamma": 1.0}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    own = {**PARAMS, "seed": 17, "ppo": {"kl_coef": 0.05, "gamma": 1.0}}
    assert stale(tmp_path, StageName("evaluate"), own, {"judge"}) == ["rlhf/rl"]
    own["ppo"] = {"kl_coef": 0.3, "lam": 0.9, "gamma": 1.0}
    assert stale(tmp_path, StageName("evaluate"), own, {"judge"}) == ["ppo.kl_coef", "ppo.lam", "rlhf/rl"]
