"""Whether figures are of now: by DVC's own word, on a small pipeline of two stages that DVC runs."""

import os
import shutil
import sys
from contextlib import nullcontext

import pytest
from dvc.exceptions import ReproductionError
from dvc.repo import Repo

from rlhf.runs import changes

PIPELINE = """
stages:
  sft:
    cmd: python make.py sft
    deps: [make.py]
    params: [seed, sft]
    outs: [data/sft]
    metrics: [metrics/sft.json: {cache: false}]
  evaluate:
    cmd: python make.py evaluate
    deps: [data/sft]
    params: [seed]
    outs: [data/evaluate]
    metrics: [metrics/evaluate.json: {cache: false}]
"""
FIGURES = ["metrics/evaluate.json", "metrics/reward_model/r1.json"]
PARAMS = "seed: 1\nsft: {rate: 0.5, sizes: [1, 2], optimiser: {name: adam, decay: 0.0}}\nevaluate: {}\n"
SCRIPT = """
import os, sys
from pathlib import Path
if os.environ["FAILING"] == sys.argv[1]:
    sys.exit(1)
for path in (f"data/{sys.argv[1]}", f"metrics/{sys.argv[1]}.json"):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(Path("params.yaml").read_text())
"""


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("changes") / "repository"
    root.mkdir()
    for name, text in {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "make.py": SCRIPT}.items():
        (root / name).write_text(text)
    Repo.init(str(root), no_scm=True).close()
    (root / ".dvc/config").write_text("[core]\n    no_scm = True\n    analytics = false\n    check_update = false\n")
    reproduce(root)
    return root


@pytest.fixture
def root(run_once, tmp_path):
    return shutil.copytree(run_once, tmp_path / "repository")


def reproduce(root, failing="", force=False, single=""):
    """As `dvc repro` does it, in this process; the stage `failing` fails. `single`: of this stage alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAILING", failing)
        patch.setenv("PATH", f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(root)
        with Repo(str(root)) as repo, pytest.raises(ReproductionError) if failing else nullcontext():
            repo.reproduce([single] if single else None, force=force, single_item=bool(single))


def edit(root, old: str, new: str) -> None:
    text = (root / "params.yaml").read_text()
    assert old in text
    (root / "params.yaml").write_text(text.replace(old, new))


def test_after_a_run_figures_are_of_now(root):
    assert changes.in_a_line(root, FIGURES) is None


def test_data_that_is_not_here_is_no_change(root):
    shutil.rmtree(root / "data")
    shutil.rmtree(root / ".dvc/cache")
    assert changes.in_a_line(root, FIGURES) is None


def test_params_are_named_to_the_leaf_before_files(root):
    edit(root, "seed: 1", "seed: 2")
    edit(root, "decay: 0.0", "decay: 0.1, warmup: 5")
    edit(root, "sizes: [1, 2], ", "")
    (root / "make.py").write_text(SCRIPT + "# edited\n")
    assert changes.changed(root) == ["seed", "sft.sizes", "sft.optimiser.decay", "sft.optimiser.warmup", "make.py"]
    line = changes.in_a_line(root, FIGURES)
    assert line.startswith("These figures are of an earlier run; changed since: seed, sft.sizes, ")
    assert "sft.optimiser.warmup and 1 more (" in line


def test_after_a_run_that_failed_halfway_the_last_figures_are_an_earlier_runs(root):
    edit(root, "rate: 0.5", "rate: 0.7")
    figures = (root / "metrics/evaluate.json").read_text()
    reproduce(root, failing="sft")
    assert changes.changed(root) == ["sft.rate", "sft has not ended"]
    reproduce(root, failing="evaluate")  # sft has run; its params are dvc.lock's now
    (root / "metrics/evaluate.json").write_text(figures)
    assert changes.changed(root) == ["data/sft"]


def test_a_stage_that_was_stopped_is_named_though_its_params_are_those_of_before(root):
    figures = (root / "metrics/evaluate.json").read_text()
    reproduce(root, failing="sft", force=True)
    assert changes.changed(root) == ["sft has not ended"]
    assert (root / "metrics/evaluate.json").read_text() == figures
    reproduce(root)
    assert changes.in_a_line(root, FIGURES) is None


def test_a_stage_that_is_new_is_named(root):
    third = PIPELINE.replace("data/sft", "data/x").replace("  sft:", "  x:").replace("make.py sft", "make.py x")
    third = third.replace("metrics/sft.json", "metrics/x.json").split("  evaluate:")[0].removeprefix("\nstages:\n")
    (root / "dvc.yaml").write_text(PIPELINE + third)
    assert "x has not ended" in changes.changed(root)


def test_a_metrics_file_edited_by_hand_and_a_changed_command_are_named(root):
    (root / "metrics/evaluate.json").write_text("{}")
    (root / "dvc.yaml").write_text(PIPELINE.replace("make.py sft", "make.py 'sft'"))
    assert changes.changed(root) == ["command of sft", "metrics/evaluate.json"]


def test_figures_that_are_not_what_dvc_lock_lists_are_not_called_those_of_an_earlier_run(root):
    (root / "metrics/evaluate.json").write_text("{}")
    words = "These figures are not those that dvc.lock lists: metrics/evaluate.json was edited, or made by a run that "
    tail = " (`dvc status dvc.yaml` lists what, `dvc repro` makes new ones)"
    assert changes.in_a_line(root, FIGURES) == f"{words}DVC did not record{tail}"
    edit(root, "rate: 0.5", "rate: 0.7")
    assert changes.in_a_line(root, FIGURES) == f"{words}DVC did not record; sft.rate changed too{tail}"


def test_a_file_of_other_figures_is_a_change_like_others(root):
    (root / "metrics/sft.json").write_text("{}")
    line = changes.in_a_line(root, FIGURES)
    assert line.startswith("These figures are of an earlier run; changed since: metrics/sft.json (")


def test_data_of_another_commit_on_disk_does_not_make_the_figures_old(root):
    """After `git checkout` without `dvc checkout`: the lock and the figures are of one commit, the data is not."""
    (root / "data/sft").chmod(0o644)
    (root / "data/sft").write_text("other bytes")
    line = changes.in_a_line(root, FIGURES)
    assert line.startswith("These figures are those that dvc.lock lists, but the data on disk is not: data/sft (`dvc ")
    edit(root, "seed: 1", "seed: 2")
    assert changes.in_a_line(root, FIGURES).startswith(
        "These figures are of an earlier run; changed since: seed, data/"
    )


def test_data_that_was_made_anew_alone_makes_the_figures_old(root):
    """`dvc repro --single-item`: the lock has it, and evaluate read another."""
    edit(root, "rate: 0.5", "rate: 0.7")
    reproduce(root, single="sft")
    line = changes.in_a_line(root, FIGURES)
    assert line.startswith("These figures are of an earlier run; changed since: data/sft (")


def test_where_dvc_cannot_tell_its_words_are_shown(root, tmp_path):
    shutil.rmtree(root / ".dvc")
    line = changes.in_a_line(root, FIGURES)
    assert line.startswith("Whether these figures belong to this params.yaml and code is not known. dvc status: ERROR:")
    (root / "dvc.lock").unlink()
    assert changes.in_a_line(root, FIGURES) is None
