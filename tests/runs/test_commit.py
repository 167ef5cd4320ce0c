"""Which commit a run belongs to, and what it depended on that is not in it."""

import subprocess

import pytest

from rlhf.runs import lineage
from rlhf.runtime import outputs
from tests import notebook


@pytest.fixture
def root(tmp_path):
    """A clean repository as a stage finds it: DVC has removed its metrics, which git keeps. Git's root lies above."""
    root = tmp_path / "lab"
    outputs.write_metrics(root, "sft", {"loss": 1.0})
    (root / "data/sft").mkdir(parents=True)
    (root / "data/sft/model").write_text("weights")
    notebook.write_lock(root, {"sft": ["data/sft", "metrics/sft.json"]})
    for name in ("params.yaml", "stages/sft.py", "metrics/study/cells.json", ".gitignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("data/\n" if name == ".gitignore" else "")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    (root / "metrics/sft.json").unlink()
    return root


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True)


def test_outputs_that_dvc_removed_or_wrote_are_no_change(root):
    (root / "dvc.lock").write_text((root / "dvc.lock").read_text() + " ")
    assert lineage.commit_of(root).changed == []
    assert len(lineage.commit_of(root).sha) == 40


def test_params_and_code_that_differ_are_named_in_git_or_not(root):
    (root / "params.yaml").write_text("seed: 2")
    (root / "stages/sft.py").unlink()
    (root / "stages/new thing.py").write_text("x = 1")
    (root / "notes.txt").write_text("read by nobody")
    assert lineage.commit_of(root).changed == ["params.yaml", "stages/new thing.py", "stages/sft.py"]


def test_outside_git_there_is_no_commit_and_no_change(tmp_path):
    assert lineage.commit_of(tmp_path) == lineage.Commit("", [])
