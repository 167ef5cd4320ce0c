"""Rows of token ids to rectangular batches, and the order in which batches are visited.

Masks are True on real tokens. Position ids count real tokens only, so that padding on either side changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Padded(NamedTuple):
    ids: Tensor  # [B, T]
    mask: Tensor  # [B, T] True on real tokens


class Packed(NamedTuple):
    """Several examples a row, blind to one another."""

    ids: Tensor  # [B, T]
    loss_mask: Tensor  # [B, T] True where the token counts in the loss (as a target)
    position_ids: Tensor  # [B, T] from 0 again in each example
    segments: Tensor  # [B, T] number of the example in its row, 0 for padding


class Forked(NamedTuple):
    """A prompt and all its answers in one row: the prompt once, the answers blind to one another."""

    ids: Tensor  # [B, T]
    position_ids: Tensor  # [B, T] each answer's go on from the prompt's
    segments: Tensor  # [B, T] 1 for the prompt, 2.. for the answers, 0 for padding
    owners: Tensor  # [B, T] number of the answer, counted through the batch, whose token this is; -1 for no answer's
    lasts: Tensor  # [N] where each answer's last token stands in the flattened batch


def pad(rows: Sequence[Sequence[int]], pad_id: int, side: str, device: str = "cpu") -> Padded:
    """Return rows as one batch, padded on `side` ("left" or "right") to the longest row."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)  # [B, T]
    mask = torch.zeros((len(rows), width), dtype=torch.bool)  # [B, T]
    for index, row in enumerate(rows):
        span = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[index, span] = torch.tensor(row, dtype=torch.long)
        mask[index, span] = True
    return Padded(ids.to(device), mask.to(device))


def as_list(tensor: Tensor) -> list[Any]:
    """Return tensor.tolist(), whose type torch leaves open; the caller knows the dtype and the dimensions."""
    return tensor.tolist()


def position_ids(mask: Tensor) -> Tensor:
    """Return positions [B, T] that count the real tokens before each token; 0 on left padding."""
    return (mask.long().cumsum(dim=-1) - 1).clamp(min=0)


def epochs(num_items: int, batch_size: int, num_epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of item indices, each epoch in an order of its own; an epoch's last batch may be smaller."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_epochs):
        order = torch.randperm(num_items, generator=generator).tolist()
        for start in range(0, num_items, batch_size):
            yield order[start : start + batch_size]


def cycle(num_items: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of exactly `batch_size` indices for ever; every item comes once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            waiting.extend(torch.randperm(num_items, generator=generator).tolist())
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def packing_plan(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Return rows of example indices whose lengths sum to at most `width` (first fit, longest first)."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = next((row for row, left in enumerate(room) if left >= lengths[index]), None)
        if place is None:
            rows.append([index])
            room.append(width - lengths[index])
        else:
            rows[place].append(index)
            room[place] -= lengths[index]
    return rows


def pack(examples: Sequence[Sequence[tuple[Sequence[int], Sequence[bool]]]], pad_id: int, device: str) -> Packed:
    """Return rows of (ids, loss mask) examples as one batch. The first token of an example is never a target."""
    width = max(sum(len(ids) for ids, _ in row) for row in examples)
    shape = (len(examples), width)
    ids, positions = torch.full(shape, pad_id, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    loss_mask, segments = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.long)
    for row, packed in enumerate(examples):
        start = 0
        for number, (tokens, counted) in enumerate(packed, start=1):
            span = slice(start, start + len(tokens))
            ids[row, span] = torch.tensor(tokens, dtype=torch.long)
            loss_mask[row, span] = torch.tensor([False, *counted[1:]])
            positions[row, span] = torch.arange(len(tokens))
            segments[row, span] = number
            start += len(tokens)
    return Packed(*(tensor.to(device) for tensor in (ids, loss_mask, positions, segments)))


def fork(groups: Sequence[Sequence[tuple[Sequence[int], int]]], pad_id: int, device: str) -> Forked:
    """Return groups of (ids, number of answer tokens at the end) as one batch, a row a group.

    What a group's rows have in common before their answers stands in the row once.
    """
    starts = [_shared([(ids, len(ids) - num_answer) for ids, num_answer in group]) for group in groups]
    width = max(start + sum(len(ids) - start for ids, _ in group) for start, group in zip(starts, groups, strict=True))
    shape = (len(groups), width)
    ids, positions = torch.full(shape, pad_id, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    segments, owners = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1, dtype=torch.long)
    lasts = []
    for row, (start, group) in enumerate(zip(starts, groups, strict=True)):
        ids[row, :start] = torch.tensor(group[0][0][:start], dtype=torch.long)
        positions[row, :start] = torch.arange(start)
        segments[row, :start] = 1
        at = start
        for number, (tokens, num_answer) in enumerate(group, start=2):
            end = at + len(tokens) - start
            ids[row, at:end] = torch.tensor(tokens[start:], dtype=torch.long)
            positions[row, at:end] = torch.arange(start, len(tokens))
            segments[row, at:end] = number
            owners[row, end - num_answer : end] = len(lasts)
            lasts.append(row * width + end - 1)
            at = end
    return Forked(*(tensor.to(device) for tensor in (ids, positions, segments, owners, torch.tensor(lasts))))


def _shared(rows: list[tuple[Sequence[int], int]]) -> int:
    """Return how many first tokens (ids, at most so many) rows have in common."""
    first, most = rows[0][0], min(limit for _, limit in rows)
    for place in range(most):
        if any(ids[place] != first[place] for ids, _ in rows):
            return place
    return most


def predecessors(segments: Tensor) -> Tensor:
    """Return where in the flattened batch the token before each one stands, -1 for none: [B, T] -> [B T].

    In forked rows the prompt's last token stands before the first of every answer.
    """
    num_rows, width = segments.shape
    places = torch.arange(num_rows * width, device=segments.device).view_as(segments)
    num_prompt = (segments == 1).sum(dim=1, keepdim=True)
    forks = (segments > 1) & (num_prompt > 0)
    first = torch.where(forks, places[:, :1] + num_prompt - 1, -1)
    goes_on = (segments > 0) & (segments == nn.functional.pad(segments[:, :-1], (1, 0)))
    return torch.where(goes_on, places - 1, first).flatten()


def segment_attention(segments: Tensor, dtype: torch.dtype, forked: bool = False) -> Tensor:
    """Return an additive mask [B, 1, T, T]: 0 where a token sees an earlier one of its example, else the minimum.

    With `forked` segment 1 is the beginning of all others of its row, and read by them.
    """
    same = segments.unsqueeze(2) == segments.unsqueeze(1)  # [B, T, T]
    if forked:
        same = same | (segments.unsqueeze(1) == 1)
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool, device=segments.device).tril()
    readable = (same & causal).unsqueeze(1)  # [B, 1, T, T]
    return torch.zeros(readable.shape, dtype=dtype, device=segments.device).masked_fill(
        ~readable, torch.finfo(dtype).min
    )
