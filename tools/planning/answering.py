"""Answers that a policy writes, and rows that a model scores: how many passes that takes."""

import math
from typing import Any

from tools.planning import batches
from tools.planning.rows import Rows
from tools.planning.work import READ, Decoding, Pass

SCORED_AT_ONCE = 128  # rows (rewards.score_texts)
LATE = 1.12  # rows computed for each that is going on: those that have ended leave a quarter at a time (rollouts)


def decoded(
    params: Any, count: float, prompts: Rows, answers: Rows, at_once: int, shared: float = 1.0
) -> list[Decoding]:
    """Return the batches of so many answers; `shared`: how many of a batch have one prompt."""
    if not count or not prompts.prompts:
        return []
    size = batches.part_size(math.ceil(count), at_once, batches.sharing(params.runtime))
    shared = min(shared, size)
    lengths = sorted(answers.answers)
    steps = longest_of(lengths, size)
    tokens = size * min(steps, answers.mean_answer() * LATE)
    return [Decoding(count / size, size, size / max(1.0, shared), prompts.mean_prompt(), steps, tokens)]


def longest_of(lengths: list[int], count: float) -> float:
    """Return the longest that so many draws have, about: the length that one in so many passes."""
    return float(lengths[min(len(lengths) - 1, math.ceil(len(lengths) * (1 - 1 / max(1.0, count + 1))))])


def scored(params: Any, count: float, rows: Rows, at_once: int, likelihood: bool) -> Pass:
    """Return the passes that score so many rows, each by itself."""
    if not count or not rows.prompts:
        return Pass(READ, 0.0, 0.0, 0.0, 0.0)
    answer = rows.mean_answer()
    tokens = rows.mean_prompt() + answer
    size = batches.part_size(math.ceil(count), at_once, batches.sharing(params.runtime))
    return Pass(READ, count / size, size * tokens, size * answer if likelihood else 0.0, tokens)
