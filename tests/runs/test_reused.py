"""Which stages a pipeline built on as they were, and what DVC says of them."""

import pytest

from rlhf.runs import changes
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
PARAMS = {"rounds": {"r1": {"policy": "sft"}}}


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

    def changed(root, targets):
        assert root == tmp_path
        calls.append(targets)
        return ["ppo.kl_coef"]

    monkeypatch.setattr(changes, "changed", changed)
    return calls


def test_stages_before_it_that_did_not_run_are_asked_about(asked, tmp_path):
    assert reused.stale(tmp_path, StageName("evaluate"), PARAMS, {"judge", "evaluate"}) == ["ppo.kl_coef"]
    assert asked == [["ppo@r1", "sft"]]


def test_where_all_ran_dvc_is_not_asked(asked, tmp_path):
    assert reused.stale(tmp_path, StageName("ppo", "r1"), PARAMS, {"sft", "ppo/r1"}) == []
    assert reused.stale(tmp_path, StageName("sft"), PARAMS, {"sft"}) == []
    assert asked == []


def test_without_a_pipeline_nothing_was_reused(tmp_path):
    assert reused.stale(tmp_path, StageName("sft"), PARAMS, set()) == []
