"""Outputs of rounds that params.yaml no longer lists are removed where they come back, else refused."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import lineage
from tests import toys
from tools import check

STAGES = ("collect_answers", "collect_comparisons", "reward_model", "ppo")
SECOND = {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}
METRICS = (
    *(f"metrics/{stage}/r2.json" for stage in STAGES), "metrics/plots/reward_model/r2.csv", "metrics/plots/ppo/r2.csv",
    "metrics/plots/reward_model/r2_calibration.csv",
)  # fmt: skip
MADE = (*(f"data/{stage}/r2" for stage in STAGES), *METRICS)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project whose params list r1, with the outputs of r1 and r2: data in DVC's cache, r2's metrics in dvc.lock."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    shutil.copy(toys.REPO / "dvc.yaml", root)
    shutil.copy(toys.REPO / "presets/tiny.yaml", root / "params.yaml")
    for path in (other for made in MADE for other in (made, made.replace("r2", "r1"))):
        file = root / path / "file.bin" if path.startswith("data/") else root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"bytes of {path}")
        if path.startswith("data/"):
            (file.parent.parent / ".gitignore").write_text("/r1\n/r2\n")
            cache(root, root / path)
    outs = [{"path": path, "md5": lineage.dvc_md5(root / path)} for path in METRICS]
    (root / "dvc.lock").write_text(json.dumps({"stages": {"ppo@r2": {"outs": outs}}}))
    return root


def cache(root: Path, folder: Path) -> None:
    """Put a folder's bytes where DVC keeps them."""
    files = [{"md5": lineage.dvc_md5(file), "relpath": file.name} for file in sorted(folder.iterdir())]
    contents = {entry["md5"]: (folder / entry["relpath"]).read_text() for entry in files}
    for md5, content in {**contents, lineage.dvc_md5(folder): json.dumps(files)}.items():
        kept = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(content)


def present(root: Path) -> set[str]:
    return {path for path in MADE if (root / path).exists()}


@pytest.mark.parametrize("words", [[], ["evaluate"]])
def test_what_comes_back_goes_and_the_screen_says_so(root, capsys, words):
    before = toys.file_bytes(root / "data") | toys.file_bytes(root / "metrics")
    assert check.main(words, root) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "round r2: params.yaml no longer lists it; removed data/collect_answers/r2, "
        "data/collect_comparisons/r2, data/ppo/r2, data/reward_model/r2 and 7 files below metrics/. With the round in "
        "params.yaml again, dvc repro brings them back"
    )
    after = toys.file_bytes(root / "data") | toys.file_bytes(root / "metrics")
    assert after == {path: content for path, content in before.items() if "r2" not in str(path)}
    assert check.main(words, root) == 0
    assert "round r2" not in capsys.readouterr().out


def test_rounds_that_are_listed_and_stages_that_read_one_round_touch_nothing(root):
    assert check.main(["ppo", "r1"], root) == 0
    content = read_yaml(root / "params.yaml")
    content["rounds"]["r2"] = SECOND
    toys.write_params(root, content)
    assert check.main([], root) == 0
    assert present(root) == set(MADE)


@pytest.mark.parametrize("path", MADE)
def test_what_was_changed_by_hand_is_refused_and_then_nothing_goes(root, capsys, path):
    changed = root / path / "file.bin" if path.startswith("data/") else root / path
    changed.write_text("by hand")
    assert check.main(["evaluate"], root) == 2
    assert capsys.readouterr().err == (
        f"{path}: params.yaml lists no round 'r2', and neither DVC's cache nor git has these bytes; "
        f"remove it with: rm -r {path}, or add the round to params.yaml\n"
    )
    assert present(root) == set(MADE)


def test_a_folder_of_which_the_cache_lacks_a_file_is_refused(root, capsys):
    md5 = lineage.dvc_md5(root / "data/ppo/r2/file.bin")
    (root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    assert check.main(["evaluate"], root) == 2
    assert capsys.readouterr().err.startswith("data/ppo/r2: params.yaml lists no round 'r2'")


def test_metrics_that_git_has_go_without_a_dvc_lock(root, capsys):
    (root / "dvc.lock").unlink()
    assert check.main(["evaluate"], root) == 2
    assert capsys.readouterr().err.count("params.yaml lists no round 'r2'") == len(METRICS)
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q"], ["add", "metrics"], [*identity, "commit", "-q", "-m", "metrics"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / METRICS[0]).write_text("by hand")
    assert check.main(["evaluate"], root) == 2
    assert capsys.readouterr().err.startswith(f"{METRICS[0]}: ")
    subprocess.run(["git", "checkout", "-q", "--", METRICS[0]], cwd=root, check=True)
    assert check.main(["evaluate"], root) == 0
    assert present(root) == set()


def test_with_mistakes_in_params_nothing_goes(root):
    toys.set_param(root, "judge.round", "r7")
    assert check.main([], root) == 2
    assert present(root) == set(MADE)


def test_an_output_that_is_a_link_goes_and_what_it_points_to_stays(root):
    (root / "data/ppo/r2").rename(root / "another")
    (root / "data/ppo/r2").symlink_to(root / "another")
    assert check.main(["evaluate"], root) == 0
    assert present(root) == set()
    assert not (root / "data/ppo/r2").is_symlink()
    assert (root / "another/file.bin").exists()
