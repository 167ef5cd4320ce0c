"""From an artifact back to the lines in which people talked with the policy, through dvc.lock."""

import pytest

from rlhf.people import forgetting, journal
from rlhf.runs import lineage
from tools.looking import feedback

CHAT = {"name": "chat", "kind": "feedback", "paths": ["data/feedback/*.jsonl"]}


def consent(user: str) -> dict:
    return {"kind": "consent", "id": user, "user": user, "at": "2026-11-30T12:00:00+00:00", "text": "sum"}


@pytest.fixture
def root(tmp_path):
    journal.append(tmp_path / "data/feedback/ada.jsonl", consent("ada"))
    journal.append(tmp_path / "data/feedback/ada.jsonl", {"kind": "thumb", "user": "ada"})
    journal.append(tmp_path / "data/feedback/ben.jsonl", consent("ben"))
    return tmp_path


def locked(root, *sources: dict) -> dict:
    """Return the entries of dvc.lock from the chat's journals to a policy, and of a stage that reads none."""
    deps = [{"path": "rlhf/people", "md5": "0"}]
    if any(one["kind"] == "feedback" for one in sources):
        deps.append({"path": "data/feedback", "md5": lineage.dvc_md5(root / "data/feedback")})
    return {
        "collect_prompts": {
            "deps": deps,
            "params": {"params.yaml": {"collect_prompts": {"sources": [*sources]}}},
            "outs": [{"path": "data/collect_prompts"}],
        },
        "sft": {"deps": [{"path": "data/collect_prompts/demonstrations.train.jsonl"}], "outs": [{"path": "data/sft"}]},
        "ppo@r2": {"deps": [{"path": "data/sft"}], "outs": [{"path": "data/ppo/r2"}]},
        "moderation": {"deps": [{"path": "rlhf/world"}], "outs": [{"path": "data/moderation"}]},
    }


def test_a_policys_journals_are_named_by_file_lines_and_user(root):
    md5 = lineage.dvc_md5(root / "data/feedback")
    assert [*feedback.behind(root, locked(root, CHAT), "ppo@r2", None)] == [
        "what people said in the chat that it builds on",
        f"  data/feedback  {md5}  read by collect_prompts",
        "    data/feedback/ada.jsonl  2 lines, 1 not read  user ada",
        "    data/feedback/ben.jsonl  1 lines  user ben",
    ]


def test_the_notes_on_who_is_forgotten_are_no_journal(root):
    before = [*feedback.behind(root, locked(root, CHAT), "ppo@r2", None)]
    forgetting.remember(root / "data/feedback", "cleo", forgetting.now())
    assert [*feedback.behind(root, locked(root, CHAT), "ppo@r2", None)][2:] == before[2:]


def test_what_builds_on_no_chat_says_nothing(root):
    world = {"name": "world", "kind": "world"}
    assert [*feedback.behind(root, locked(root, world), "ppo@r2", None)] == []
    assert [*feedback.behind(root, locked(root, world, CHAT), "moderation", None)] == []


def test_lines_that_came_since_and_a_commits_lines_are_told(root):
    before = locked(root, CHAT)
    journal.append(root / "data/feedback/ben.jsonl", consent("ben"))
    lines = "\n".join(feedback.behind(root, before, "sft", None))
    assert "on disk: other bytes" in lines
    assert "ben.jsonl  2 lines  user ben" in lines
    assert "git does not keep" in "\n".join(feedback.behind(root, before, "sft", "HEAD"))
    for file in (root / "data/feedback").glob("*.jsonl"):
        file.unlink()
    lines = "\n".join(feedback.behind(root, locked(root, CHAT | {"paths": ["data/gone.jsonl"]}), "sft", None))
    assert "data/gone.jsonl  not in dvc.lock" in lines
    assert "not on disk" in lines
