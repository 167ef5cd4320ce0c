"""An edit of code, and which of the laboratory's cells DVC then reruns."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import toys
from tests.tools.test_cell_code import CELL, CELLS, CHAIN, CODE


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch) -> Path:
    """The code and the laboratory's graph, with a chain and a cell that compute nothing."""
    from dvc.repo import Repo

    for name in ("rlhf", "stages", "study", "tools", "presets"):
        left_out = shutil.ignore_patterns("__pycache__", "encoder", "dvc.lock")
        shutil.copytree(toys.REPO / name, tmp_path / name, ignore=left_out)
    Repo.init(str(tmp_path), no_scm=True).close()
    shutil.copy(toys.REPO / ".dvcignore", tmp_path)
    graph = (tmp_path / "study/dvc.yaml").read_text()
    made = graph
    for command, instead in {
        "python -m study.cell ${key}": "echo 1 > metrics/study/cells/${key}.json",
        "python -m study.costs ${key}": "echo costs",
    }.items():
        assert command in made
        made = made.replace(command, instead)
    (tmp_path / "study/dvc.yaml").write_text(made)
    with open(tmp_path / "study/params.yaml", "w") as file:
        YAML().dump(CELLS, file)
    (tmp_path / "metrics/study/cells").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def reproduced(root: Path) -> set[str]:
    """Return the stages that `dvc repro` of both cells runs."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return {stage.addressing for stage in repo.reproduce([CHAIN, CELL])}


def edit(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    with open(file, "a") as opened:
        opened.write("# edited\n")


@pytest.mark.process
def test_an_edit_of_code_reruns_the_cells_that_run_it_and_no_others(laboratory, monkeypatch):
    monkeypatch.chdir(laboratory)
    assert reproduced(laboratory) == {CODE, CHAIN, CELL}
    for edited, expected in {
        "rlhf/rl/updates.py": {CODE, CHAIN, CELL},
        "stages/evaluate.py": {CODE, CHAIN},
        "tools/cell_code.py": {CODE, CHAIN, CELL},  # by which a cell keeps sums of its code
        "rlhf/runs/tracking.py rlhf/rl/__pycache__/updates.pyc study/claims.py": set(),
    }.items():
        for file in edited.split():
            edit(laboratory / file)
        assert reproduced(laboratory) == expected, edited
    (laboratory / "rlhf/world/new.txt").write_text("a new file in a folder\n")
    assert reproduced(laboratory) == {CODE, CHAIN, CELL}
