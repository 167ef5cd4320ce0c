"""Who made which bytes: sums as DVC's own, what dvc.lock and git say, and which process is whose."""

import json
import subprocess

import pytest

from rlhf.runs import lineage

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
LOCKED = {
    "sft": {
        "cmd": "x",
        "outs": [{"path": "data/sft", "md5": "1.dir"}, {"path": "metrics/sft.json", "md5": "2"}],
    },
    "check": {"cmd": "y", "deps": [{"path": "data/sft", "md5": "1.dir"}]},  # a stage without outs
}


@pytest.fixture
def root(tmp_path):
    """A folder in git with a dvc.lock."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    write_lock(folder, LOCKED)
    return folder


def git(root, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def write_lock(root, stages) -> None:
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def test_sums_are_those_that_dvc_writes(tmp_path):
    for name in ("b.txt", "a/x", "a-b", "é", "a/deep/y"):  # "a-b" stands before "a/x": DVC sorts whole names
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name, encoding="utf-8")
    (tmp_path / "data/empty").mkdir()
    assert lineage.dvc_md5(tmp_path / "data") == "0a9104ddaf859901d2a811517c1f7aa0.dir"  # by `dvc add`
    (tmp_path / "f").write_text("x")
    assert lineage.dvc_md5(tmp_path / "f") == "9dd4e461268c8034f5c8564e155c67a6"


def test_a_large_file_is_summed_to_its_end(tmp_path):
    """Against the sum that coreutils' md5sum prints."""
    (tmp_path / "f").write_bytes(b"ab" * lineage.CHUNK)
    assert lineage.dvc_md5(tmp_path / "f") == "a84abd4f888246f11fc4d28712ed5ad0"


def test_sizes_are_in_megabytes_of_a_million_bytes(tmp_path):
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a").write_bytes(b"x" * 1_000_000)
    (tmp_path / "data/deep/b").write_bytes(b"x" * 500_000)
    assert lineage.size_mb(tmp_path / "data/a") == 1.0
    assert lineage.size_mb(tmp_path / "data") == 1.5


def test_before_the_first_run_nothing_is_locked(tmp_path):
    assert lineage.locked(tmp_path) == {}
    assert lineage.locked_outs(tmp_path) == {}
    assert lineage.way_back(tmp_path, "sft") is None


def test_the_lock_is_read_as_it_lies_and_as_a_commit_had_it(root):
    git(root, "add", "dvc.lock")
    git(root, "commit", "-qm", "first")
    write_lock(root, {"sft": {"outs": [{"path": "data/sft", "md5": "3.dir"}]}})
    assert lineage.locked(root, "HEAD") == LOCKED
    assert lineage.locked_outs(root, "HEAD") == {"sft": {"data/sft": "1.dir", "metrics/sft.json": "2"}, "check": {}}
    assert lineage.locked_outs(root) == {"sft": {"data/sft": "3.dir"}}
    below = root / "below"
    below.mkdir()
    (root / "dvc.lock").rename(below / "dvc.lock")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "the pipeline has moved")
    assert lineage.locked_outs(below, "HEAD") == {"sft": {"data/sft": "3.dir"}}


def test_a_commit_without_a_lock_is_an_error_that_names_it(root):
    with pytest.raises(ValueError) as error:
        lineage.locked(root, "v9")
    assert str(error.value) == "git knows no dvc.lock at 'v9'; name a commit that has one: git log -- dvc.lock"


def test_the_commit_is_heads_and_none_outside_git(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    assert lineage.commit_of(outside) == ("", [])
    assert lineage.commit_of(root) == ("", []), "no commit yet"
    git(root, "add", "dvc.lock")
    git(root, "commit", "-qm", "first")
    assert lineage.commit_of(root).sha == git(root, "rev-parse", "HEAD").strip()


def test_upstream_are_the_makers_of_files_and_folders_and_their_makers():
    made = {"prompts": ["data/prompts"], "sft": ["data/sft"], "ppo@r1": ["data/ppo/r1"], "ppo@r2": ["data/ppo/r2"]}
    read = {"sft": ["data/prompts/a.jsonl"], "ppo@r1": ["data/sft"], "ppo@r2": ["data/ppo/r1"]}
    made["judge"] = ["data/judge"]
    stages = {
        title: {
            "outs": [{"path": path, "md5": "1"} for path in paths],
            "deps": [{"path": path, "md5": "1"} for path in read.get(title, [])],
        }
        for title, paths in made.items()
    }
    assert lineage.upstream(stages, ["data/sft"]) == {"sft", "prompts"}
    assert lineage.upstream(stages, ["data/ppo"]) == {"ppo@r1", "ppo@r2", "sft", "prompts"}
    assert lineage.upstream(stages, ["data/ppo/r2", "rlhf/engine"]) == {"ppo@r2", "ppo@r1", "sft", "prompts"}
    assert lineage.upstream(stages, ["data/judge/model.safetensors"]) == {"judge"}
    assert lineage.upstream(stages, ["data/collected"]) == set()
