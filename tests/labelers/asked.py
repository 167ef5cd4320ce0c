"""Params of a judge, answered prompts, and a stage's run that remembers what it says."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.labelers import chat_model
from rlhf.labelers.answered import Answered, Ranking
from rlhf.params.base import parse
from rlhf.params.labelers.kinds import ChatModel
from tests import toys

JUDGE: dict[str, Any] = {
    "kind": "chat_model",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "judge-1",
    "compares": "pairwise",
    "tie_threshold": 0.0,
    "max_tokens": 16,
    "temperature": 0.0,
    "seed": 17,
    "timeout_seconds": 5.0,
    "retries": 2,
    "backoff_seconds": 0.01,
    "concurrent": 4,
    "max_requests": 10_000,
    "max_unreadable": 1.0,
}
SCORES = {"compares": "scores", "scale": {"low": 0.0, "high": 10.0}}


@contextmanager
def functions(root: Path, code: str) -> Iterator[None]:
    """Write functions to the root's my_taste.py, a module that no other test finds imported."""
    (root / "my_taste.py").write_text(code)
    sys.modules.pop("my_taste", None)
    path = [*sys.path]
    try:
        yield
    finally:
        sys.modules.pop("my_taste", None)
        sys.path[:] = path


class Run:
    """Stands where a stage's run would."""

    def __init__(self):
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, *_: object) -> None:
        pass


def params(base_url: str = JUDGE["base_url"], **changes: Any) -> ChatModel:
    return parse(ChatModel, JUDGE | {"base_url": base_url} | changes, "collect_comparisons.labelers")


def answered(*responses: list[str]) -> list[Answered]:
    """Return a prompt for each list of responses."""
    return [Answered(toys.prompt(number, f"Say {number}."), list(texts)) for number, texts in enumerate(responses)]


def rank(given: list[Answered], chosen: ChatModel, root: Path, run: Run | None = None) -> Ranking:
    return chat_model.rank({"train": given}, chosen, "labelers", root, run or Run())["train"]


def ranks(ranking: Ranking) -> list[list[int]]:
    return [label["ranks"] for one in ranking.labelled for label in one.labels]
