"""The listings of the cells' code: they name the bytes that DVC would see, and an edit reruns the cells it concerns."""

import json
from pathlib import Path

import pytest

from tests import toys
from tools import cell_code
from tools.inputs import STAGES

ONE = {"seed": 17, "change": {}, "targets": ["sft"], "measures": []}
CELLS = {
    **toys.read_yaml(toys.REPO / "study/params.yaml"), "chains": {"whole": ONE}, "cells": {"part": ONE}, "encoders": {},
    "forms_cells": {},
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


def test_a_part_of_the_code_has_another_sum_when_a_file_of_it_changes_comes_or_goes():
    code = {"rlhf/rl/a.py": "1", "rlhf/rl/deep/b.py": "2", "stages/ppo.py": "3"}
    parts = cell_code.parts(code)
    assert list(parts) == ["rlhf/rl", "stages/ppo.py"]
    for other in (
        code | {"rlhf/rl/a.py": "4"},
        code | {"rlhf/rl/c.py": "1"},
        {"rlhf/rl/a.py": "1", "stages/ppo.py": "3"},
    ):
        changed = cell_code.parts(other)
        assert changed["rlhf/rl"] != parts["rlhf/rl"]
        assert changed["stages/ppo.py"] == parts["stages/ppo.py"]


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
    assert chain.keys() - cell.keys() == {
        "stages/rejection.py",
        "stages/dpo.py",
        "stages/evaluate.py",
        "stages/judge.py",
        "stages/moderation.py",
        "rlhf/report.py",
    }
    assert {"study/cell.py", "stages/sft.py"} < cell.keys()


@pytest.mark.parametrize("pattern", ["*.pyc", "rlhf/maths", "!page.j2", "[ab]", "b?"])
def test_a_pattern_in_dvcignore_is_an_error_that_names_it(small_repo, pattern):
    (small_repo / ".dvcignore").write_text(f"__pycache__\n{pattern}\n")
    with pytest.raises(ValueError) as error:
        cell_code.main(small_repo)
    assert str(error.value) == f".dvcignore: expected plain names, which tools/cell_code.py reads too (got {pattern!r})"
