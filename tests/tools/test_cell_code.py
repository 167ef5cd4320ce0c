"""The listings of the cells' code: they name the bytes that DVC would see, and an edit reruns the cells it concerns."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import toys
from tools import cell_code
from tools.inputs import STAGES

ONE = {"seed": 17, "change": {}, "targets": ["sft"], "measures": []}
CELLS = {
    **toys.read_yaml(toys.REPO / "study/params.yaml"), "chains": {"whole": ONE}, "cells": {"part": ONE}, "encoders": {},
}  # fmt: skip
CODE, CHAIN, CELL = (f"study/dvc.yaml:{name}" for name in ("code", "chain@whole", "cell@part"))


@pytest.fixture
def small_repo(tmp_path: Path) -> Path:
    """Stages without code, but for what `evaluate` and a cell import; in DVC, not in git."""
    from dvc.repo import Repo

    files = dict.fromkeys((f"stages/{stage}.py" for stage in STAGES), "pass\n") | {
        "stages/evaluate.py": "import rlhf.report\n",
        "study/cell.py": "import rlhf.maths.b\n",
        "rlhf/maths/__init__.py": "",
        "rlhf/maths/b.py": "pass\n",
        "rlhf/maths/page.j2": "é\n",
        "rlhf/maths/deep/é.txt": "é\n",
        "rlhf/maths/deep/__pycache__/b.pyc": "compiled",
        "rlhf/maths/__pycache__": "a file of an ignored name\n",
        "rlhf/maths/old__pycache__": "of another name\n",
        "rlhf/report.py": "pass\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvcignore").write_text("# names\n\n__pycache__\nnowhere\n")
    return tmp_path


def listing(root: Path, name: str) -> dict[str, str]:
    return json.loads((root / f"metrics/study/code/{name}.json").read_text(encoding="utf-8"))


def test_a_folders_files_and_sums_are_those_that_dvc_sees(small_repo):
    from dvc.repo import Repo

    cell_code.main(small_repo)
    with Repo(str(small_repo)) as repo:
        (stage,) = repo.add([str(small_repo / "rlhf/maths")])
        tree = Path(repo.cache.local.oid_to_path(stage.outs[0].hash_info.value))
    seen = {f"rlhf/maths/{entry['relpath']}": entry["md5"] for entry in json.loads(tree.read_text())}
    assert len(seen) == 5
    for name in ("chain", "cell"):
        listed = listing(small_repo, name)
        assert {file: md5 for file, md5 in listed.items() if file.startswith("rlhf/maths/")} == seen
        assert list(listed) == sorted(listed)


def test_only_chains_run_what_measures_the_whole_pipeline(small_repo):
    cell_code.main(small_repo)
    chain, cell = listing(small_repo, "chain"), listing(small_repo, "cell")
    assert cell.items() < chain.items()
    assert chain.keys() - cell.keys() == {"stages/evaluate.py", "stages/judge.py", "rlhf/report.py"}
    assert {"study/cell.py", "stages/sft.py"} < cell.keys()


@pytest.mark.parametrize("pattern", ["*.pyc", "rlhf/maths", "!page.j2", "[ab]", "b?"])
def test_a_pattern_in_dvcignore_is_an_error_that_names_it(small_repo, pattern):
    (small_repo / ".dvcignore").write_text(f"__pycache__\n{pattern}\n")
    with pytest.raises(ValueError) as error:
        cell_code.main(small_repo)
    assert str(error.value) == f".dvcignore: expected plain names, which tools/cell_code.py reads too (got {pattern!r})"


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
    made = graph.replace("python -m study.cell ${key}", "echo 1 > metrics/study/cells/${key}.json")
    assert made != graph
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
        "tools/cell_code.py": {CODE},
        "rlhf/runs/tracking.py rlhf/rl/__pycache__/updates.pyc study/claims.py": set(),
    }.items():
        for file in edited.split():
            edit(laboratory / file)
        assert reproduced(laboratory) == expected, edited
    (laboratory / "rlhf/world/new.txt").write_text("a new file in a folder\n")
    assert reproduced(laboratory) == {CODE, CHAIN, CELL}
