"""Judgements of invented labelers, and answered prompts for them."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.people import judgements
from rlhf.people.judgements import Judgement
from rlhf.records import records
from tests import toys

PEOPLE: dict[str, Any] = {
    "kind": "people",
    "folder": "data/labels",
    "flags": ["hallucination", "harmful advice"],
    "scale": {"low": 1, "high": 7},
    "overlap_share": 0.5,
    "overlap_labelers": 2,
    "wait_for": 1.0,
    "written": "first",
    "training": None,
}


def answered(number: int, *responses: str) -> dict:
    """Return an answered prompt; three responses unless they are given."""
    texts = list(responses) or [f"{toys.WORDS[k]} {number}." for k in range(3)]
    return toys.prompt(number, f"Say {number}.") | {"kind": "answered_prompt", "responses": texts}


def write_answers(root: Path, train: Sequence[dict], judge: Sequence[dict] = (), round_name: str = "r1") -> None:
    for name, some in {"train": train, "judge": judge}.items():
        records.write(root / f"data/collect_answers/{round_name}/answers.{name}.jsonl", some)


def judgement(one: dict, labeler: str, ranks: list[int] | None = None, **changes: Any) -> Judgement:
    """Return a labeler's judgement of an answered prompt: the first answer is best unless it says otherwise."""
    num = len(one["responses"])
    said = {
        "kind": "judgement",
        "id": uuid.uuid4().hex,
        "prompt": one["id"],
        "answers": judgements.answers_id(one["messages"], one["responses"]),
        "pool": "train",
        "labeler": labeler,
        "order": list(range(num)),
        "ranks": ranks or list(range(1, num + 1)),
        "ratings": None,
        "flags": [[] for _ in range(num)],
        "written": None,
        "skipped": None,
        "seconds": 20.0,
        "at": "2026-11-30T10:00:00+00:00",
        "instructions": "0" * 64,
        "replaces": None,
        "withdrawn": False,
    }
    made: Any = said | changes
    return made


def skip(one: dict, labeler: str, reason: str = "I do not know the field") -> Judgement:
    return judgement(one, labeler) | {"ranks": None, "skipped": reason}


def say(root: Path, *said: Judgement, round_name: str = "r1") -> None:
    """Add judgements to their labelers' files."""
    for one in said:
        judgements.append(root / "data/labels", round_name, one)
