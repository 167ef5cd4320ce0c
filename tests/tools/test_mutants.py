"""The mutants' command: what is tried is a stable sample, and what is written says where a fault was not seen."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import toys
from tools import mutants

PYPROJECT = """
[tool.mutants]
seed = 3
sample = 2

[tool.mutants.packages]
maths = { code = "rlhf/maths", tests = ["tests/maths"] }
words = { code = "rlhf/words", tests = ["tests/words"] }
"""
CODE = '''"""A module."""


def half(number):
    if number > 0:
        return number / 2
    return 0


class Scale:
    def half(self, number):
        return number / 2
'''
TESTS = """from rlhf.maths.code import half


def test_half():
    assert half(4) == 2
"""
SHOWN = """# rlhf.maths.code.x_half__mutmut_1: survived
--- rlhf/maths/code.py
+++ rlhf/maths/code.py
@@ -1,4 +1,4 @@
 def half(number):
-    if number > 0:
+    if number >= 0:
         return number / 2
     return 0
"""


@pytest.fixture
def root(tmp_path):
    """A repository of one small package."""
    files = {
        "pyproject.toml": PYPROJECT, "rlhf/maths/code.py": CODE, "tests/maths/test_code.py": TESTS,
        "params.yaml": "seed: 1\n", str(mutants.EXPLAINED): "{}\n", ".gitignore": "/data/\n/.mutants/\n", "data/x": "x",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def explain(root: Path, **why: str) -> None:
    content = {"rlhf/maths/code.py": [{"before": "if number > 0:", "after": "if number >= 0:", **why}]}
    (root / mutants.EXPLAINED).write_text(json.dumps(content))


@pytest.fixture
def tool(monkeypatch):
    """Stands for mutmut: what it was asked to run; the first mutant survives, the second's tests never end."""
    asked = []
    run = subprocess.run

    def stub(command, **options):
        if command[0] != mutants.program():
            return run(command, **options)
        if command[1] == "show":
            return subprocess.CompletedProcess(command, 0, stdout=SHOWN)
        assert command[1:3] == ["run", "--max-children"]
        asked.append(command[4:])
        meta = Path(options["cwd"]) / "mutants/rlhf/maths/code.py.meta"
        meta.parent.mkdir(parents=True)
        codes = {f"m{number}": 1 for number in range(9)} | dict(zip(command[4:6], (0, -24), strict=True))
        meta.write_text(json.dumps({"exit_code_by_key": codes}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", stub)
    monkeypatch.setattr(mutants, "mutants", lambda code: [f"m{number}" for number in range(9)])
    monkeypatch.setattr(mutants, "line_of", lambda *_: 5)
    return asked


def test_a_sample_of_a_package_is_tried_counted_and_written(root, tool, capsys):
    assert mutants.main(["maths"], root) == 0
    assert tool == [mutants.drawn([f"m{number}" for number in range(9)], 2, 3)]
    found = json.loads((root / mutants.OUT).read_text())
    survivor = {
        "file": "rlhf/maths/code.py", "line": 5, "before": "if number > 0:", "after": "if number >= 0:", "called": True,
    }  # fmt: skip
    assert found == {"maths": {"mutants": 9, "sampled": 2, "seed": 3, "timed_out": 1, "survivors": [survivor]}}
    said = capsys.readouterr().out
    assert "maths: 2 of 9 mutants" in said
    assert "maths: 0 killed, 1 timed out, 1 of 2 survived (50%), 1 of them unexplained" in said
    page = (root / mutants.PAGE).read_text()
    assert "| maths | 9 | 2 | 0 | 1 | 1 | 50% | 1 |" in page
    assert "- `rlhf/maths/code.py:5` `if number > 0:` → `if number >= 0:`: **unexplained**" in page


def test_the_command_line_chooses_packages_sample_and_seed_and_keeps_the_others_results(root, tool, capsys):
    (root / mutants.OUT).parent.mkdir()
    (root / mutants.OUT).write_text(json.dumps({"maths": "of before", "gone": {}}))
    with pytest.raises(SystemExit):
        mutants.main(["poems"], root)
    assert "expected some of maths, words (got poems)" in capsys.readouterr().err
    kept = {"mutants": 9, "sampled": 9, "seed": 1, "timed_out": 0, "survivors": []}
    (root / mutants.OUT).write_text(json.dumps({"words": kept, "gone": {}}))
    assert mutants.main(["maths", "--sample", "3", "--seed", "7"], root) == 0
    assert [len(names) for names in tool] == [3]
    assert tool[0] == mutants.drawn([f"m{number}" for number in range(9)], 3, 7)
    found = json.loads((root / mutants.OUT).read_text())
    assert list(found) == ["maths", "words"]
    assert found["words"] == kept


def test_a_run_that_breaks_down_writes_nothing_and_names_its_log(root, tool, monkeypatch, capsys):
    monkeypatch.setattr(mutants, "exit_codes", lambda folder: {})
    assert mutants.main([], root) == 1
    assert "mutmut.log" in capsys.readouterr().err
    assert not (root / mutants.OUT).exists()


def test_other_code_leaves_the_sample_of_what_has_not_changed():
    names = [f"code.x_function_{number}__mutmut_1" for number in range(200)]
    chosen = mutants.drawn(names, 40, 1)
    assert len(set(chosen)) == 40
    assert mutants.drawn(names[::-1], 40, 1) == chosen
    assert mutants.drawn(names, 30, 1) == chosen[:30]
    more = mutants.drawn([*names, *(f"code.x_other_{number}__mutmut_1" for number in range(20))], 40, 1)
    assert [name for name in more if name in names] == chosen[: sum(name in names for name in more)]
    assert mutants.drawn(names, 40, 2) != chosen


def test_a_workspace_is_what_git_knows_with_a_configuration_of_one_package(root):
    package = mutants.read(root).packages[0]
    folder = mutants.workspace(root, package)
    (folder / "left over").write_text("of an earlier run")
    folder = mutants.workspace(root, package)
    assert folder == root / ".mutants/maths"
    assert set(toys.file_bytes(folder)) == {
        "pyproject.toml", "rlhf/maths/code.py", "tests/maths/test_code.py", "params.yaml",
        ".gitignore", "tests/explained_mutants.yaml",
    }  # fmt: skip
    chosen = mutants.tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert chosen["only_mutate"] == ["rlhf/maths/*"]
    assert chosen["pytest_add_cli_args_test_selection"] == ["tests/maths"]
    assert "params.yaml" in chosen["also_copy"]
    assert not {"rlhf", "tests", "pyproject.toml"} & {*chosen["also_copy"]}
    assert (root / "pyproject.toml").read_text() == PYPROJECT


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("rlhf.maths.code.x_half__mutmut_2", "        return number / 2", 6),
        ("rlhf.maths.code.xǁScaleǁhalf__mutmut_1", "    return 0", 7),
        ("rlhf.maths.code.x_half__mutmut_9", "written over several lines", 4),
    ],
)
def test_a_change_is_found_in_its_function(root, name, text, line):
    assert mutants.line_of(root / "rlhf/maths/code.py", name, text) == line


def test_a_reason_stands_beside_its_survivor_and_is_lost_when_the_line_changes(root):
    survivor = {"file": "rlhf/maths/code.py", "line": 5, "before": "if number > 0:", "after": "if number >= 0:"}
    found = {"mutants": 9, "sampled": 4, "seed": 3, "timed_out": 0, "survivors": [survivor | {"called": False}]}
    explain(root, why="Half of 0 is 0.")
    one = mutants.explained(found, mutants.reasons(root))
    assert (one["killed"], one["unexplained"], one["survivors"][0]["why"]) == (3, 0, "Half of 0 is 0.")
    assert "→ `if number >= 0:`: No test of the package calls the function. Half of 0 is 0." in mutants.page(
        {"maths": found}, mutants.reasons(root)
    )
    explain(root, why="Half of 0 is 0.", before="if number > 1:")
    assert mutants.explained(found, mutants.reasons(root))["unexplained"] == 1


def test_a_reason_for_everywhere_is_a_part_of_any_line_changed_once():
    reason = mutants.Reason(mutants.EVERYWHERE, "strict=True", "", "why")
    assert reason.fits({"file": "any.py", "before": "zip(a, b, strict=True)", "after": "zip(a, b, )"})
    twice = "zip(a, b, strict=True), zip(c, d, strict=True)"
    assert reason.fits({"file": "any.py", "before": twice, "after": "zip(a, b, strict=True), zip(c, d, )"})
    assert not reason.fits({"file": "any.py", "before": twice, "after": "zip(a, b, ), zip(c, d, )"})
    assert not reason.fits({"file": "any.py", "before": "zip(a, b, strict=True)", "after": "zip(b, strict=True)"})


def test_every_package_of_the_repository_has_its_code_and_its_tests():
    settings = mutants.read(toys.REPO)
    for package in settings.packages:
        assert (toys.REPO / package.code).is_dir()
        assert all((toys.REPO / place).exists() for place in package.tests), package


def test_every_reason_is_of_a_line_that_is_there():
    for reason in mutants.reasons(toys.REPO):
        assert reason.after != reason.before
        if reason.file != mutants.EVERYWHERE:
            text = (toys.REPO / reason.file).read_text(encoding="utf-8")
            assert reason.before in " ".join(line.strip() for line in text.splitlines()), reason
