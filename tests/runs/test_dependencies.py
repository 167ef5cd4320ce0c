"""What is edited while DVC runs a stage is not recorded as what its outputs were made with."""

import os
import time

import pytest

from rlhf.runs import dependencies, tracking
from rlhf.runs.stage_name import StageName

PIPELINE = """
stages:
  sft:
    cmd: python -m stages.sft
    deps: [data/prompts.jsonl, data/pretrain, rlhf/engine, 'data/${base.folder}']
    params: [seed, sft, {other.yaml: [limit]}]
    outs: [data/sft]
  ppo:
    foreach: ${rounds}
    do:
      cmd: python -m stages.ppo ${key}
      deps: ['data/reward_model/${key}', 'data/${item.policy}']
      params: [seed, 'rounds.${key}', ppo]
"""
PARAMS = """
seed: 17
sft: {learning_rate: 1.0e-3, epochs: 2}
ppo: {kl_coef: 0.05}
base: {folder: base}
rounds: {r1: {policy: sft}, r2: {policy: ppo/r1}}
tracking: {enabled: false, uri: null, experiment: rlhf, max_model_mb: 1.0, log_every: 1}
"""
FILES = (
    "data/prompts.jsonl", "data/pretrain/model.bin", "data/base/a", "data/sft/model.bin", "data/ppo/r1/model.bin",
    "data/reward_model/r1/head", "data/reward_model/r2/head", "rlhf/engine/a.py", "rlhf/rl/b.py", "other.yaml",
)  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of two stages, of which DVC runs `sft`."""
    for file in FILES:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("DVC_STAGE", "sft")
    return tmp_path


def edit(root, old, new):
    """Change a text in params.yaml."""
    file = root / "params.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def changes(root, edited, stage="sft", round_name=None):
    """Return what is said after `edited` was called while the stage ran."""
    read = dependencies.Dependencies(root, StageName(stage, round_name))
    edited()
    return read.changes()


def test_a_param_of_the_stage_is_named_with_both_values(root):
    assert changes(root, lambda: edit(root, "epochs: 2", "epochs: 3")) == [
        "params.yaml: sft.epochs became 3, while sft runs with 2"
    ]


def test_a_param_that_was_removed_or_is_new_is_named(root):
    (change,) = changes(root, lambda: edit(root, ", epochs: 2", ""))
    assert change == "params.yaml: sft.epochs became (none), while sft runs with 2"
    (change,) = changes(root, lambda: edit(root, "1.0e-3", "1.0e-3, epochs: 2"))
    assert change == "params.yaml: sft.epochs became 2, while sft runs with (none)"


def test_params_of_other_stages_and_the_order_of_lines_may_be_edited(root):
    def edited():
        edit(root, "kl_coef: 0.05", "kl_coef: 0.02")
        edit(root, "{learning_rate: 1.0e-3, epochs: 2}", "{epochs: 2, learning_rate: 0.001}")

    assert changes(root, edited) == []


def test_a_round_depends_on_its_own_params_and_folders_only(root):
    def edited():
        edit(root, "{policy: ppo/r1}", "{policy: sft}")
        (root / "data/reward_model/r2/head").write_text("after")

    assert changes(root, edited, "ppo", "r1") == []
    (root / "data/reward_model/r2/head").write_text("before")
    edit(root, "r2: {policy: sft}", "r2: {policy: ppo/r1}")
    assert changes(root, edited, "ppo", "r2") == [
        "params.yaml: rounds.r2.policy became sft, while ppo@r2 runs with ppo/r1",
        "data/reward_model/r2/head was changed while ppo@r2 runs",
    ]


@pytest.mark.parametrize("file", ["data/prompts.jsonl", "data/pretrain/model.bin", "data/base/a", "rlhf/engine/a.py"])
def test_a_dependency_that_was_edited_is_named(root, file):
    assert changes(root, lambda: (root / file).write_text("other")) == [f"{file} was changed while sft runs"]


def test_files_outside_the_project_are_watched_and_are_no_code(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "prompts.jsonl"
    outside.write_text("before")
    (root / "dvc.yaml").write_text(PIPELINE.replace("data/prompts.jsonl", str(outside)))
    assert changes(root, lambda: outside.write_text("other")) == [f"{outside} was changed while sft runs"]
    assert [*dependencies.code(root, StageName("sft", None), {"base": {"folder": "base"}})] == ["rlhf/engine"]


def test_a_params_file_of_the_users_own_counts_as_a_whole(root):
    assert changes(root, lambda: (root / "other.yaml").write_text("other")) == ["other.yaml was changed while sft runs"]


def test_files_that_come_and_go_are_named_but_for_pythons_own(root):
    def edited():
        (root / "rlhf/engine/a.py").unlink()
        (root / "rlhf/engine/c.py").write_text("new")
        (root / "rlhf/engine/__pycache__").mkdir()
        (root / "rlhf/engine/__pycache__/c.pyc").write_text("new")

    assert changes(root, edited) == [
        "rlhf/engine/a.py was removed while sft runs",
        "rlhf/engine/c.py is new while sft runs",
    ]


def test_the_same_content_at_another_time_is_no_change(root):
    assert changes(root, lambda: os.utime(root / "rlhf/engine/a.py", (1, 1))) == []


def test_of_large_files_the_time_is_compared(root, monkeypatch):
    monkeypatch.setattr(dependencies, "LARGE", 3)
    file = root / "data/pretrain/model.bin"
    assert changes(root, lambda: None) == []
    assert changes(root, lambda: os.utime(file, (1, 1))) == ["data/pretrain/model.bin was changed while sft runs"]


def test_params_that_became_unreadable_are_a_change(root):
    (change,) = changes(root, lambda: (root / "params.yaml").write_text("seed: [17"))
    assert change.startswith("params.yaml can be read no longer (")


def test_a_stage_whose_params_were_edited_ends_with_an_error_and_keeps_its_states(root, capsys):
    states = Kept()
    refused = pytest.raises(ValueError, match="sft.epochs became 3.*refused.*dvc repro sft")
    with refused, tracking.stage_run(root, "sft", states=states):
        edit(root, "epochs: 2", "epochs: 3")
    assert not states.discarded
    assert "failed after" in (told := capsys.readouterr().out)
    assert "goes on after step 4 with: dvc repro sft" in told


def test_what_was_read_counts_from_before_the_run_was_opened(root):
    read = dependencies.of_dvc(root, StageName("sft"))
    edit(root, "epochs: 2", "epochs: 3")
    with pytest.raises(ValueError, match="sft.epochs became 3"), tracking.stage_run(root, "sft", read=read):
        pass


def test_an_edit_that_was_undone_is_none(root):
    with tracking.stage_run(root, "sft", states=(states := Kept())):
        edit(root, "epochs: 2", "epochs: 3")
        edit(root, "epochs: 3", "epochs: 2")
    assert states.discarded


def test_an_edit_is_said_while_the_stage_runs_once(root, capsys, monkeypatch):
    monkeypatch.setattr(dependencies, "SECONDS_BETWEEN_LOOKS", 0.01)
    with tracking.stage_run(root, "sft"):
        edit(root, "epochs: 2", "epochs: 3")
        until = time.monotonic() + 30
        told = ""
        while "WARNING" not in told and time.monotonic() < until:
            time.sleep(0.01)
            told += capsys.readouterr().err
        time.sleep(0.1)
        told += capsys.readouterr().err
        edit(root, "epochs: 3", "epochs: 2")
    assert told.count("sft.epochs became 3, while sft runs with 2; undo it before the stage ends") == 1


@pytest.mark.parametrize("asked", ["", "ppo@r1", "study/dvc.yaml:cell@sft"])
def test_a_stage_that_dvc_does_not_run_may_be_edited(root, monkeypatch, asked):
    monkeypatch.setenv("DVC_STAGE", asked)
    with tracking.stage_run(root, "sft"):
        edit(root, "epochs: 2", "epochs: 3")


class Kept:
    """States of a training, of which the fourth is on the disk."""

    key, points, steps_kept, stopping = "", (), 4, False
    discarded = False

    def discard(self):
        self.discarded = True
