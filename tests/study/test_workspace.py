"""Workspaces: what is copied, under which params, and how DVC is called there. DVC itself is stubbed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from rlhf.params.base import ParamsError, read_yaml
from study import workspace
from tests import toys

CACHE = "/somewhere/cache"


class Call(NamedTuple):
    words: list[str]  # after `python -m dvc`
    folder: Path
    environment: dict[str, str] | None
    must_succeed: bool


@pytest.fixture
def calls(monkeypatch) -> list[Call]:
    """The calls of DVC, none of which is made."""
    made = []

    def run(command, cwd, check, env=None, **_):
        assert command[:3] == [sys.executable, "-m", "dvc"]
        made.append(Call(command[3:], cwd, env, check))
        return subprocess.CompletedProcess(command, 0, stdout=f"{CACHE}\n")

    monkeypatch.setattr(subprocess, "run", run)
    return made


@pytest.fixture
def root(tmp_path) -> Path:
    """A repository in small: some of what a workspace is a copy of."""
    folder = tmp_path / "repository"
    for name, text in {
        "rlhf/code.py": "new", "rlhf/__pycache__/code.pyc": "x", "stages/sft.py": "s", "tools/check.py": "c",
        "dvc.yaml": "stages: {}", "dvc.lock": "lock", "metrics/sft.json": "{}", "metrics/study/seeds.json": "{}",
        "data/sft/model": "weights", "study/cell.py": "the laboratory itself is not copied",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def content() -> dict:
    return read_yaml(toys.REPO / "presets/tiny.yaml")


def test_a_new_workspace_is_a_copy_of_the_pipeline_with_its_own_params(root, calls):
    made = workspace.prepare(root, "kl_0", content())
    assert made == root / ".study/kl_0"
    assert {name for name in toys.file_bytes(made) if name != "params.yaml"} == {
        "rlhf/code.py", "stages/sft.py", "tools/check.py", "dvc.yaml", "dvc.lock", "metrics/sft.json", ".dvc/config",
    }  # fmt: skip
    written = read_yaml(made / "params.yaml")
    assert written["tracking"] == content()["tracking"] | {
        "uri": f"sqlite:///{root.resolve()}/mlflow.db", "experiment": "study"
    }  # fmt: skip
    assert written | {"tracking": None} == content() | {"tracking": None}
    assert [(call.words, call.folder, call.must_succeed) for call in calls] == [
        (["cache", "dir"], root, True), (["checkout", "--allow-missing", "--quiet"], made, False)
    ]  # fmt: skip


def test_a_workspaces_dvc_watches_the_encoder_that_its_params_name(root, calls):
    (root / "study/encoder").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages:\n  reward_model:\n    deps:\n    - code.py\n")
    changes = {"backbone": "encoder", "pooling": "last", "likelihood_coef": 0.0, "encoder_path": "../../study/encoder"}
    params = content()
    params["reward_model"] |= changes
    params["ppo"]["value_init"] = "policy"
    made = workspace.prepare(root, "bert", params)
    assert "- ../../study/encoder  # named by params.yaml\n" in (made / "dvc.yaml").read_text()


def test_the_workspaces_dvc_shares_the_cache_and_knows_no_git(root, calls):
    lines = (workspace.prepare(root, "kl_0", content()) / ".dvc/config").read_text().split("\n")
    assert [line.strip() for line in lines if line] == [
        "[core]", "analytics = false", "check_update = false", "autostage = false", "no_scm = true",
        "[cache]", f"dir = {CACHE}",
    ]  # fmt: skip


def test_a_workspace_that_is_there_gets_new_code_and_params_and_keeps_what_it_made(root, calls):
    made = workspace.prepare(root, "kl_0", content())
    for name, text in {"dvc.lock": "its own", "metrics/sft.json": "its own", "data/sft": "made"}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "rlhf/old.py").write_text("gone")
    (root / "rlhf/code.py").write_text("newer")
    (root / "dvc.yaml").write_text("stages: {more: {}}")
    workspace.prepare(root, "kl_0", content() | {"seed": 99})
    assert (made / "rlhf/code.py").read_text() == "newer"
    assert not (made / "rlhf/old.py").exists()
    assert (made / "dvc.yaml").read_text() == "stages: {more: {}}"
    assert read_yaml(made / "params.yaml")["seed"] == 99
    for name in ("dvc.lock", "metrics/sft.json"):
        assert (made / name).read_text() == "its own"
    assert (made / "data/sft").read_text() == "made"
    assert [call.words[0] for call in calls] == ["cache", "checkout", "cache"]


def test_a_mistake_leaves_a_workspace_that_is_there_as_it_is(root, calls):
    made = workspace.prepare(root, "kl_0", content())
    before = toys.file_bytes(made)
    wrong = content() | {"seed": "one"}
    with pytest.raises(ParamsError, match="study cell 'kl_0': seed"):
        workspace.prepare(root, "kl_0", wrong)
    assert toys.file_bytes(made) == before
    with pytest.raises(ParamsError, match="study cell 'other': seed"):
        workspace.prepare(root, "other", wrong)
    assert not (root / ".study/other").exists()


def test_stages_run_as_if_nobody_had_called_us(root, calls, monkeypatch):
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.setenv(name, "the caller's")
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("OTHER", "stays")
    workspace.reproduce(root / ".study/kl_0", ["ppo@r1", "evaluate"])
    (call,) = calls
    assert (call.words, call.folder, call.must_succeed) == (["repro", "ppo@r1", "evaluate"], root / ".study/kl_0", True)
    own = {name: value for name, value in call.environment.items() if name.startswith("DVC_")}
    assert own == {"DVC_EXP_NAME": "kl_0"}
    assert call.environment["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"
    assert call.environment["OTHER"] == "stays"


def test_what_is_removed_is_gone_and_may_never_have_been_there(root):
    workspace.remove(root / "metrics")
    assert not (root / "metrics").exists()
    workspace.remove(root / "metrics")
