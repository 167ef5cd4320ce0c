"""How the outputs come back that DVC removed before a stage that failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.runs import lineage
from rlhf.runtime import outputs

MD5 = "0123456789abcdef0123456789abcdef.dir"
PATHS = ("data/sft", "metrics/sft.json", "metrics/plots/sft.csv")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository whose stage sft has run, whose outputs are gone, and whose DVC keeps them in its cache."""
    outputs.write_metrics(tmp_path, "sft", {"loss": 1.0})
    md5s = dict.fromkeys(PATHS, MD5) | {"metrics/sft.json": lineage.dvc_md5(tmp_path / "metrics/sft.json")}
    outs = [{"path": path, "md5": md5} for path, md5 in md5s.items()]
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"sft": {"outs": outs}}}))
    for command in (["init", "-q"], ["add", "metrics/sft.json"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "metrics/sft.json").unlink()
    kept = tmp_path / "cache/files/md5/01" / MD5[2:]
    kept.parent.mkdir(parents=True)
    kept.touch()
    answers = {("cache", "dir"): "cache", ("remote", "list"): ""}
    monkeypatch.setattr(lineage, "_dvc", lambda _root, *words: answers[words])
    return tmp_path, answers, kept


def test_what_dvc_keeps_is_checked_out_and_metrics_come_from_git_alone(root):
    folder, _, _ = root
    assert lineage.way_back(folder, "sft") == (
        "sft: its previous outputs come back with: dvc checkout sft && git checkout -- metrics/sft.json; git has not "
        "these bytes of metrics/plots/sft.csv: `dvc repro` with the params of then brings them back"
    )


def test_metrics_of_another_run_than_gits_are_not_said_to_come_back_from_it(root):
    folder, _, _ = root
    outputs.write_metrics(folder, "sft", {"loss": 2.0})
    subprocess.run(["git", "add", "metrics/sft.json"], cwd=folder, check=True)
    (folder / "metrics/sft.json").unlink()
    hint = str(lineage.way_back(folder, "sft"))
    assert "git checkout" not in hint and "git has not these bytes of metrics/sft.json, metrics/plots/sft.csv" in hint


def test_what_is_in_no_cache_here_is_pulled_from_the_remote(root):
    folder, answers, kept = root
    kept.unlink()
    answers["remote", "list"] = "storage\ts3://bucket"
    assert "come back with: dvc pull sft && git checkout -- metrics/sft.json" in str(lineage.way_back(folder, "sft"))


def test_what_is_nowhere_is_not_promised(root):
    folder, _, kept = root
    kept.unlink()
    hint = str(lineage.way_back(folder, "sft"))
    assert "data/sft is not in DVC's cache here" in hint
    assert "dvc checkout" not in hint


def test_nothing_is_said_where_nothing_is_gone_or_was(root):
    folder, _, _ = root
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    assert lineage.way_back(folder, "sft") is None
    assert lineage.way_back(folder, "ppo@r1") is None


@pytest.mark.process
def test_dvc_says_where_its_cache_is(tmp_path):
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    assert Path(lineage._dvc(tmp_path, "cache", "dir")) == tmp_path / ".dvc/cache"
    assert lineage._dvc(tmp_path, "remote", "list") == ""
