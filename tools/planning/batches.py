"""How a batch of rows is cut: how many tokens a forward pass reads on average, and the largest one.

Batches are drawn from the known lengths and cut as the stages cut them, so that packing, groups of answers and windows
of like length count as they are.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rlhf.params.training.dpo import Dpo
from tools.planning.rows import Rows

DRAWN = 64  # batches, of which the largest is looked for


class Piece(NamedTuple):
    """A sequence of a part: its own tokens, those of them whose logits are made, and the tokens that it may read."""

    tokens: int
    scored: int
    read: int


class Parts(NamedTuple):
    """What a worker computes at once."""

    number: float  # of an update, of all workers and processes
    tokens: float
    scored: float
    read: float  # tokens that a token may read, on average
    most: float  # tokens of the largest part
    most_scored: float


NOTHING = Parts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def part_size(num_rows: int, most: int, sharing: int) -> int:
    """Return the rows of a part, as rlhf.runtime.parallel does: one for each worker, none above `most`."""
    return max(1, min(most, -(-num_rows // sharing)))


def sharing(runtime: Any, num_models: int = 1) -> int:
    """Return how many parts of a batch are computed at once."""
    return max(1, runtime.workers // num_models) * runtime.processes


def measured(updates: Iterable[Sequence[Sequence[Piece]]]) -> Parts:
    """Return what updates hold, each a list of parts, each a list of sequences."""
    found = [[(sum(p.tokens for p in part), sum(p.scored for p in part), part) for part in one] for one in updates]
    parts = [part for one in found for part in one]
    if not parts:
        return NOTHING
    tokens = sum(part[0] for part in parts)
    pairs = sum(piece.tokens * piece.read for _, _, part in parts for piece in part)
    largest = max(parts, key=lambda part: part[0])
    return Parts(
        number=len(parts) / len(found),
        tokens=tokens / len(parts),
        scored=fmean(part[1] for part in parts),
        read=pairs / max(1, tokens),
        most=largest[0],
        most_scored=max(part[1] for part in parts),
    )


def supervised(rows: Rows, section: Any, runtime: Any, bounds: bool) -> Parts:
    """Return the parts of a batch of demonstrations, packed as the stage packs them."""
    every = section.lm_coef > 0
    if bounds:
        size = part_size(section.batch_size, section.micro_batch_rows, sharing(runtime))
        row = Piece(section.max_tokens, section.max_tokens, section.max_tokens)
        return measured([[[row] * size] * -(-section.batch_size // size)])
    return measured(_packed(rows, section, runtime, number, every) for number in range(DRAWN))


def _packed(rows: Rows, section: Any, runtime: Any, seed: int, every: bool) -> list[list[Piece]]:
    from rlhf.tokens.batching import packing_plan  # here, for it loads torch, and check does without

    drawn = [(prompt + answer, answer) for prompt, answer in rows.drawn(section.batch_size, seed)]
    kept = [(min(total, section.max_tokens), answer) for total, answer in drawn]
    lengths = [total for total, _ in kept]
    plan = packing_plan(lengths, section.max_tokens) if section.packing else [[index] for index in range(len(kept))]
    size = part_size(len(plan), section.micro_batch_rows, sharing(runtime))
    return [
        [
            Piece(kept[index][0], kept[index][0] if every else min(kept[index]), kept[index][0])
            for row in plan[start : start + size]
            for index in row
        ]
        for start in range(0, len(plan), size)
    ]


def rewards(prompts: Rows, answers: Rows, section: Any, runtime: Any, num_answers: float, bounds: bool) -> Parts:
    """Return the parts of a batch of prompts with so many answers each; a prompt's tokens are read once."""
    scores = isinstance(section, Dpo) or section.likelihood_coef > 0  # DPO reads log-probabilities alone
    if bounds:
        rows = max(1, math.ceil(num_answers))
        row = Piece(section.max_tokens, section.max_tokens if scores else 0, section.max_tokens)
        groups = [[row] * rows for _ in range(section.batch_size)]
        return measured([_in_parts(groups, [rows] * len(groups), section, runtime)])

    def batch(number: int) -> list[list[Piece]]:
        asked = prompts.drawn(section.batch_size, number)
        groups, sizes = [], []
        for place, (prompt, _) in enumerate(asked):
            size = math.floor((place + 1) * num_answers) - math.floor(place * num_answers)  # its mean over the batch
            drawn = answers.drawn(size, number * section.batch_size + place)
            groups.append([Piece(prompt, 0, prompt), *(Piece(a, a * scores, prompt + a) for _, a in drawn)])
            sizes.append(size)
        return _in_parts(groups, sizes, section, runtime)

    return measured(batch(number) for number in range(DRAWN))


def _in_parts(groups: list[list[Piece]], sizes: list[int], section: Any, runtime: Any) -> list[list[Piece]]:
    """Return groups joined to parts of at most so many answers, a group never cut."""
    most = part_size(sum(sizes), section.micro_batch_rows, sharing(runtime))
    parts: list[list[Piece]] = []
    held = 0
    for group, size in zip(groups, sizes, strict=True):
        if not parts or held + size > most:
            parts.append([])
            held = 0
        parts[-1].extend(group)
        held += size
    return parts


def windows(batches: Iterable[Sequence[tuple[int, int]]], size: int, runtime: Any, num_models: int = 1) -> Parts:
    """Return the parts of batches of (prompt, answer), each batch cut to windows of like length."""
    return measured(_windows(episodes, size, sharing(runtime, num_models)) for episodes in batches)


def _windows(episodes: Sequence[tuple[int, int]], size: int, shared: int) -> list[list[Piece]]:
    most, order = part_size(len(episodes), size, shared), sorted(episodes, key=sum)
    pieces = [Piece(prompt + answer - 1, answer, prompt + answer) for prompt, answer in order]
    return [pieces[start : start + most] for start in range(0, len(pieces), most)]


def alike(count: float, rows: int, tokens: int, scored: int, runtime: Any) -> Parts:
    """Return the parts of so many rows in all, each of so many tokens, at most `rows` at once."""
    size = part_size(math.ceil(count), rows, sharing(runtime))
    part = size * tokens
    return Parts(math.ceil(count / size), part, size * scored, tokens, part, size * scored)
