"""A project in which people label: params, answers, instructions; and a person who asks its page by hand."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from apps.label import settings
from apps.label.routes import app
from apps.label.work import Place, Work
from apps.serving.guarding import Guarded, Settings

REPO = Path(__file__).resolve().parents[3]
HOST = "http://127.0.0.1:8000"
FLAGS = ["fails_instruction", "hallucination", "sexual", "house_rule"]
INSTRUCTIONS = "# What to do\n\nRank by **help** first.\n"
VERSION = hashlib.sha256(INSTRUCTIONS.encode()).hexdigest()
ALLOWED = Settings({}, frozenset({"127.0.0.1"}), 1_000_000)


def prompt(number: int, num: int = 4, **changes: Any) -> dict[str, Any]:
    """Return an answered prompt."""
    return {
        "kind": "answered_prompt", "id": f"p{number}", "messages": [{"role": "user", "content": f"Question {number}?"}],
        "category": "other", "language": "en", "user": None, "source": "mine",
        "responses": [f"Answer {number}.{k}" for k in range(num)], **changes,
    }  # fmt: skip


def project(root: Path, train: list[dict], judge: list[dict] | None = None, **labelers: Any) -> Path:
    """Write a project; `labelers` are keys of collect_comparisons.labelers that differ."""
    people = {
        "kind": "people", "folder": "data/labels", "flags": FLAGS, "scale": {"low": 1, "high": 7},
        "overlap_share": 0.0, "overlap_labelers": 2, "wait_for": 1.0, "written": "first", "training": None, **labelers,
    }  # fmt: skip
    rounds = {"r1": {"policy": "sft", "earlier": "collect_prompts"}}
    section = {"validation_share": 0.15, "scoring_batch_size": 8, "labelers": people, "judge_labelers": None}
    params = {"rounds": rounds, "collect_comparisons": section}
    (root / "params.yaml").write_text(json.dumps(params))  # YAML too
    folder = root / "data/collect_answers/r1"
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "answers.train.jsonl", train)
    write_lines(folder / "answers.judge.jsonl", judge or [])
    (root / "data/labels").mkdir(parents=True, exist_ok=True)
    (root / "data/labels/instructions.md").write_text(INSTRUCTIONS)
    (root / "presets").mkdir(exist_ok=True)
    (root / "presets/laptop.yaml").write_text((REPO / "presets/laptop.yaml").read_text())
    return root


def write_lines(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def work(root: Path, pool: str | None = None) -> Work:
    task = settings.read(root, pool)
    place = Place(root, "r1", task.group)
    place.cache.mkdir(parents=True, exist_ok=True)
    return Work(place, task)


class Person:
    """A labeler at a page, who posts what a browser would."""

    def __init__(self, of: Work, name: str | None):
        self.client = TestClient(Guarded(app(of), ALLOWED), base_url=HOST, raise_server_exceptions=True)
        self.name = name
        if name is not None:
            assert self.client.post("/api/name", json={"name": name}).status_code == 200

    def post(self, path: str, **content: Any) -> dict[str, Any]:
        answer = self.send(path, **content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, **content: Any):  # noqa: ANN202
        return self.client.post(f"/api/{path}", json={"labeler": self.name, **content})

    def next(self) -> dict[str, Any] | None:
        return self.post("next")["item"]

    def form(self, item: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "id": uuid.uuid4().hex, "item": item["key"], "ratings": None,
            "ranks": [*range(1, len(item["answers"]) + 1)],
            "flags": [[] for _ in item["answers"]], "written": None, "skipped": None, "seconds": 3.0,
            "instructions": VERSION, **changes,
        }  # fmt: skip

    def submit(self, item: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return self.post("submit", **self.form(item, **changes))


def by_text(item: dict[str, Any]) -> list[int]:
    """Return ranks that put answers in the order of their texts, whatever the order they are shown in."""
    return [sorted(item["answers"]).index(text) + 1 for text in item["answers"]]


def lines(root: Path, labeler: str) -> list[dict[str, Any]]:
    """Return what stands in a labeler's file."""
    file = root / f"data/labels/r1/{labeler}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
