"""Prompts as token ids, and those that are too long for a stage: left out, and counted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlhf.records.types import Message
from rlhf.tokens.chat import prompt_ids


class Fitting(NamedTuple):
    kept: list[int]  # indices of the dialogues that fit
    ids: list[list[int]]  # token ids of each of these
    num_too_long: int


def fitting(tokenizer: Any, dialogues: Sequence[Sequence[Message]], max_tokens: int, param: str) -> Fitting:
    """Return which prompts have at most `max_tokens` tokens.

    Raises ValueError naming `param`, where that limit stands in params.yaml, if there are prompts and none fits.
    """
    rows = [prompt_ids(tokenizer, messages) for messages in dialogues]
    kept = [index for index, ids in enumerate(rows) if len(ids) <= max_tokens]
    if rows and not kept:
        shortest = min(len(ids) for ids in rows)
        raise ValueError(f"none of {len(rows)} prompts fits into {param} {max_tokens}; the shortest has {shortest}")
    return Fitting(kept, [rows[index] for index in kept], len(rows) - len(kept))
