"""From an artifact back to the lines in which people judged, through dvc.lock."""

import subprocess

import pytest

from rlhf.runs import lineage
from tests.people.judged import PEOPLE, answered, judgement, say
from tools.looking import labels

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


@pytest.fixture
def root(tmp_path):
    """A root in git with two rounds' labels."""
    say(tmp_path, *(judgement(answered(number), "ada") for number in range(3)))
    say(tmp_path, judgement(answered(0), "ada", [3, 2, 1]))
    say(tmp_path, judgement(answered(0), "ben"))
    say(tmp_path, judgement(answered(5), "zoe"), round_name="r2")
    for command in (["init", "-q"], ["add", "data"], ["commit", "-qm", "labels"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return tmp_path


def locked(root, labelers: dict = PEOPLE) -> dict:
    """Return the entries of dvc.lock from judgements to the policies of two rounds."""
    found = {}
    for name, policy, earlier in (("r1", "sft", "collect_prompts"), ("r2", "ppo/r1", "collect_comparisons/r1")):
        md5 = lineage.dvc_md5(root / f"data/labels/{name}")
        chain = {
            "collect_answers": [f"data/{policy}"],
            "collect_comparisons": [f"data/collect_answers/{name}", f"data/{earlier}/comparisons.train.jsonl"],
            "reward_model": [f"data/collect_comparisons/{name}"],
            "ppo": [f"data/reward_model/{name}"],
        }
        for stage, deps in chain.items():
            entry = {"deps": [{"path": path, "md5": "0"} for path in deps], "outs": [{"path": f"data/{stage}/{name}"}]}
            if stage == "collect_comparisons":
                entry["deps"].append({"path": f"data/labels/{name}", "md5": md5})
                entry["params"] = {"params.yaml": {stage: {"labelers": labelers, "judge_labelers": None}}}
            found[f"{stage}@{name}"] = entry
    return found


def test_a_policys_judgements_are_named_by_file_lines_and_labeler(root):
    lines = [*labels.behind(root, locked(root), "ppo@r1", None)]
    md5 = lineage.dvc_md5(root / "data/labels/r1")
    assert lines == [
        "judgements of people that it builds on",
        f"  data/labels/r1  {md5}  read by collect_comparisons@r1",
        "    data/labels/r1/ada.jsonl  4 lines, 3 judgements that hold  labeler ada",
        "    data/labels/r1/ben.jsonl  1 lines, 1 judgements that hold  labeler ben",
    ]


def test_a_later_rounds_policy_builds_on_both(root):
    lines = "\n".join(labels.behind(root, locked(root), "ppo@r2", None))
    assert "data/labels/r1/ada.jsonl  4 lines" in lines
    assert "data/labels/r2/zoe.jsonl  1 lines" in lines
    assert "labels/r2" not in "\n".join(labels.behind(root, locked(root), "ppo@r1", None))


def test_lines_that_came_since_are_told_and_those_of_a_commit_counted_there(root):
    before = locked(root)
    say(root, judgement(answered(1), "ben"))
    with open(root / "data/labels/r1/ben.jsonl", "a") as file:
        file.write("{torn")
    lines = "\n".join(labels.behind(root, before, "ppo@r1", None))
    assert "on disk: other bytes" in lines
    assert "ben.jsonl  3 lines, 1 not read, 2 judgements that hold" in lines
    lines = "\n".join(labels.behind(root, before, "ppo@r1", "HEAD"))
    assert "data/labels/r1/ben.jsonl  1 lines  labeler ben" in lines


def test_what_no_person_has_judged_says_nothing(root):
    assert [*labels.behind(root, locked(root, {"kind": "simulated", "folder": "x"}), "ppo@r1", None)] == []
