"""dvc.yaml says what the code does: deps are import closures, params are the sections read, names agree everywhere."""

import ast
import types
from functools import cache
from pathlib import Path

import pytest

from tests import code_deps
from tools import imports
from tools.inputs import OUTPUTS, STAGES

SMALL_PIPELINE = """# top
stages:
  a:
    foreach: ${rounds}
    do:
      cmd: x   # why
      deps:
      - data/in
      - stages/old.py
      params: []
"""
OTHER_OUTS = {"evaluate": ["data/model_card"]}
PER_ROUND = {"collect_answers", "collect_comparisons", "reward_model", "ppo"}


@pytest.fixture(scope="module", autouse=True)
def _equal_code_is_parsed_once():
    """Each stage's closure reads nearly the same files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imports, "ast", types.SimpleNamespace(**vars(ast) | {"parse": cache(ast.parse)}))
        yield


@pytest.fixture(scope="module")
def pipeline():
    return code_deps.read_pipeline()


def test_the_stages_are_those_of_the_recipe(pipeline):
    assert tuple(pipeline["stages"]) == STAGES


def test_the_folders_of_outputs_are_those_of_the_recipe(pipeline):
    outs = {Path(out.split("/$")[0]) for stage in STAGES for out in code_deps.definition(pipeline, stage)["outs"]}
    assert {*outs, Path("metrics")} == OUTPUTS


def test_deps_equal_the_imports_and_params_equal_the_sections_read():
    assert list(code_deps.differences()) == [], "mend with: python -m tests.code_deps --fix"


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_in_command_outs_metrics_and_plots(pipeline, stage):
    place = f"{stage}/${{key}}" if stage in PER_ROUND else stage
    entry = code_deps.definition(pipeline, stage)
    assert ("foreach" in pipeline["stages"][stage]) == (stage in PER_ROUND)
    command = f"{stage} ${{key}}" if stage in PER_ROUND else stage
    assert list(entry["cmd"]) == [f"python -m tools.check {command}", f"python -m stages.{command}"]
    assert list(entry["outs"]) == [f"data/{place}", *OTHER_OUTS.get(stage, [])]
    assert [list(metric) for metric in entry["metrics"]] == [[f"metrics/{place}.json"]]
    assert all(name.startswith("metrics/plots/") for plot in entry.get("plots", []) for name in plot)


def test_byte_neutral_modules_exist():
    assert all((code_deps.ROOT / file).is_file() for file in imports.BYTE_NEUTRAL)


@pytest.fixture
def small_repo(tmp_path: Path) -> Path:
    files = {
        "stages/__init__.py": "",
        "stages/a.py": "from rlhf.params.a import AInputs\ndef main():\n    from rlhf.maths import b\n",
        "rlhf/maths/__init__.py": "import json\n",
        "rlhf/maths/b.py": "import rlhf.texts.deep.c\nfrom rlhf.runs import tracking, flat\n",
        "rlhf/maths/unused.py": "import rlhf.unseen.d\n",
        "rlhf/texts/deep/c.py": "from rlhf.maths.b import thing\n",
        "rlhf/unseen/d.py": "pass\n",
        "rlhf/runs/tracking.py": "import rlhf.runs.hidden\n",
        "rlhf/runs/hidden.py": "pass\n",
        "rlhf/runs/flat.py": "pass\n",
        "rlhf/params/a.py": "class AInputs(Params):\n    seed: int\n    rounds: R\n",
        "rlhf/params/b.py": "pass\n",
        "dvc.yaml": SMALL_PIPELINE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_closure_follows_lazy_and_circular_imports_but_not_neutral_or_empty_modules(small_repo):
    expected = {"maths/__init__.py", "maths/b.py", "texts/deep/c.py", "runs/flat.py", "params/a.py"}
    assert imports.closure(["stages/a.py"], small_repo) == {"stages/a.py", *(f"rlhf/{name}" for name in expected)}


def test_a_stage_lists_folders_and_of_params_and_runs_files(small_repo):
    expected = ["rlhf/maths", "rlhf/params/a.py", "rlhf/runs/flat.py", "rlhf/texts", "stages/a.py"]
    assert code_deps.wanted_deps("a", ["data/in", "rlhf/old", "stages/old.py"], small_repo) == ["data/in", *expected]


def test_fix_writes_the_imports_and_keeps_data_deps_and_comments(small_repo):
    assert any("stages/old.py is not used" in line for line in code_deps.differences(small_repo))
    code_deps.fix(small_repo)
    assert list(code_deps.differences(small_repo)) == []
    text = (small_repo / "dvc.yaml").read_text()
    assert text.startswith("# top") and "# why" in text and "- data/in\n" in text
    assert list(code_deps.definition(code_deps.read_pipeline(small_repo), "a")["params"]) == ["seed", "rounds.${key}"]
