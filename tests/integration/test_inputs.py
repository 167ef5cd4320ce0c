"""What params name, as DVC sees it: two stages with small commands, in a repository of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rlhf.params.base import read_yaml
from tests import toys
from tests.collect_prompts_section import source
from tests.integration.conftest import environment, run

STAGES = """stages:
  collect_prompts:
    cmd: [python -m tools.check collect_prompts, cat real/a.jsonl > read.txt]
    deps:
    - code.txt
    params: [collect_prompts]
    outs: [read.txt]
  ppo:
    cmd: [python -m tools.check ppo, cat read.txt > learned.txt]
    deps:
    - read.txt
    params: [ppo]
    outs: [learned.txt]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The pipeline of two stages, whose params name a file that neither git nor DVC keeps."""
    root = tmp_path / "repository"
    (root / "real").mkdir(parents=True)
    (root / "real/a.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    (root / "dvc.yaml").write_text(STAGES)
    (root / "code.txt").write_text("1\n")
    content = read_yaml(toys.REPO / "presets/tiny.yaml")
    content["collect_prompts"]["sources"].append(source("mine", "real/a.jsonl"))
    toys.write_params(root, content)
    run(root, "git", "init", "--quiet")
    run(root, "dvc", "init", "--quiet")
    return root


def refused(root: Path, *command: str) -> str:
    """Return what a command said that is expected to fail."""
    answer = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    return answer.stdout + answer.stderr


def checked(root: Path) -> str:
    return run(root, "python", "-m", "tools.check")


KNOB = ("dvc", "exp", "run", "--temp", "--set-param")


def test_dvc_sees_a_change_of_what_params_name_and_copies_have_what_dvc_keeps(repository, monkeypatch):
    root = repository
    monkeypatch.setenv("PYTHONPATH", str(toys.REPO))
    assert "type: python -m tools.check" in refused(root, "dvc", "repro")
    assert "+ real/a.jsonl" in checked(root)
    assert "Running stage 'ppo'" in run(root, "dvc", "repro")
    assert "up to date" in run(root, "dvc", "repro")
    run(root, "git", "add", "dvc.yaml", "dvc.lock", "params.yaml", "code.txt", ".gitignore", ".dvc", ".dvcignore")
    run(root, "git", "commit", "--quiet", "--message", "ran")
    with open(root / "real/a.jsonl", "a") as file:
        file.write('{"prompt": "c", "response": "d"}\n')
    assert "real/a.jsonl" in run(root, "dvc", "status")
    assert "Running stage 'collect_prompts'" in run(root, "dvc", "repro")
    assert "No such file" in refused(root, *KNOB, "ppo.kl_coef=0.5")
    without = run(root, *KNOB, "ppo.kl_coef=0.5", "--allow-missing")
    assert "Stage 'collect_prompts' didn't change" in without
    assert "Running stage 'ppo'" in without
    assert "dvc add real/a.jsonl && git add real/a.jsonl.dvc real/.gitignore" in checked(root)
    run(root, "dvc", "add", "real/a.jsonl")
    run(root, "git", "add", "real/a.jsonl.dvc", "real/.gitignore")
    assert "git does not keep" not in checked(root)
    assert "Stage 'collect_prompts' didn't change" in run(root, *KNOB, "ppo.kl_coef=0.75")
    shutil.copy(toys.REPO / "presets/tiny.yaml", root / "params.yaml")
    assert "- real/a.jsonl" in checked(root)
    assert "real/a.jsonl" not in (root / "dvc.yaml").read_text().replace("cat real/a.jsonl", "")
    assert "up to date" in run(root, "dvc", "repro") + run(root, "dvc", "repro")
