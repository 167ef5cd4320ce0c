"""Gold as the reward, of the embedded world: what PPO learns from a reward that is never wrong.

    rewards: {trained: 0.0001, functions: [{function: "examples.gold_reward:score", weight: 3.0}], ...}

Times 3, gold differs from answer to answer about as much as a trained reward model's score does (standard deviation 1).
Nobody has such a reward of people's prompts; beside a trained one it says how much the reward model holds PPO back.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rlhf.grading import gold

PROMPTS = Path("data/collect_prompts")


def score(messages: Sequence[Sequence[dict[str, str]]], answers: Sequence[str]) -> list[float]:
    """Return gold of each answer, in 0..1. Raises ValueError for a prompt without a task of the world."""
    return [gold.score(_task(dialogue), answer).score for dialogue, answer in zip(messages, answers, strict=True)]


def _task(dialogue: Sequence[dict[str, str]]) -> dict[str, Any]:
    found = _tasks().get(_key(dialogue))
    if found is None:
        raise ValueError(f"{PROMPTS}: no prompt with a task of the embedded world reads {dialogue[-1]['content']!r}")
    return found


@cache
def _tasks() -> dict[str, dict[str, Any]]:
    files = [*PROMPTS.glob("prompts.*.jsonl"), *PROMPTS.glob("demonstrations.*.jsonl")]
    records = (json.loads(line) for file in sorted(files) for line in file.read_text(encoding="utf-8").splitlines())
    return {_key(record["messages"]): record["task"] for record in records if "task" in record}


def _key(dialogue: Sequence[dict[str, str]]) -> str:
    return json.dumps([[turn["role"], turn["content"]] for turn in dialogue])
