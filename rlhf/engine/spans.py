"""Batches without padding: all real tokens in one row, and for attention, groups of sequences of like length.

Two sequences of 3 and 5 tokens, padded to [2, 5], become a stream of 8; attention takes a group's sequences at once.
In forked rows (a prompt and its K answers) every answer is a sequence that also reads the prompt's tokens.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

LEAST_FILLED = 0.6  # of a group's width: its shortest sequence
MOST_PAIRS = 2**18  # of asking and read tokens in a group of several sequences
NOWHERE = -1


class Group(NamedTuple):
    """Sequences of like length side by side, from the left: G of them, at most t asking and T read tokens each."""

    read: numpy.ndarray  # [G, T] places in the stream of the tokens that may be read; NOWHERE on padding
    asking: numpy.ndarray  # [G, t] places in the stream of the last of them, which ask; NOWHERE on padding
    hidden: Tensor  # [G, 1, t, T] added to scores: minus infinity where the read token comes after the asking one
    results: numpy.ndarray  # [G, t] where the asking tokens' results go; NOWHERE on padding
    once: bool  # no token of the stream is read in two sequences


class Stream(NamedTuple):
    """Real tokens, and after them as many that stand in no group as it takes to fill the asked number of rows."""

    ids: Tensor  # [N]
    positions: Tensor  # [N]
    groups: list[Group]  # every token asks
    last_groups: list[Group]  # of the last layer: only the end of each sequence, from its first wanted token on
    rows: Tensor | None  # [M] those ends' places in the stream; None where they are all of it
    wanted: Tensor | None  # [M] True on the wanted of them; None where they all are


class _Sequences(NamedTuple):
    """Where in the stream each sequence begins, and how long it is; a beginning is shared by others of its row."""

    beginning: numpy.ndarray  # [n] place of the shared tokens before it
    shared: numpy.ndarray  # [n] how many these are
    start: numpy.ndarray  # [n]
    length: numpy.ndarray  # [n]


def stream(
    ids: Tensor,
    positions: Tensor,
    segments: Tensor,
    wanted: Tensor,
    forked: bool,
    num_rows: Callable[[int], int] = lambda needed: needed,
) -> Stream:
    """Return the real tokens of a batch, row after row; all tensors are [B, T].

    segments: number of the sequence in its row, 0 for padding. With `forked`, segment 1 is the beginning of the others
    of its row. wanted: True where the model's last hidden state is asked for. num_rows: N, and M, of those needed.
    """
    real = segments > 0
    row = torch.arange(len(ids), device=ids.device).unsqueeze(1)
    numbered = (row * (segments.max() + 1) + segments)[real]  # [N] a number for each sequence
    asked = wanted[real]  # [N]
    names, owner, lengths = torch.unique_consecutive(numbered, return_inverse=True, return_counts=True)
    owner, length = owner.cpu().numpy(), lengths.cpu().numpy()
    start = length.cumsum() - length
    sequences = _Sequences(start, numpy.zeros_like(length), start, length)
    if forked:
        sequences = _behind_beginnings(sequences, names.cpu().numpy(), int(segments.max()) + 1)
    everyone = _groups(sequences, start, length, start)
    end = start + length
    places = asked.cpu().numpy().nonzero()[0]
    first = end.copy()  # [n] place of each sequence's first wanted token
    numpy.minimum.at(first, owner[places], places)
    asking = end - first
    num_more = num_rows(len(owner)) - len(owner)
    if asking.sum() == len(owner):
        last, rows, chosen = everyone, None, _filled(asked, num_more)
    else:
        last = _groups(sequences, first, asking, asking.cumsum() - asking)
        rows = torch.from_numpy((numpy.arange(len(owner)) >= first[owner]).nonzero()[0])  # [M]
        more = num_rows(len(rows)) - len(rows)
        rows, chosen = _filled(rows, more), _filled(asked[rows], more)
    if bool(chosen.all()):
        chosen = None
    return Stream(_filled(ids[real], num_more), _filled(positions[real], num_more), everyone, last, rows, chosen)


def _filled(values: Tensor, num_more: int) -> Tensor:
    """Return values [n] and so many zeros (False) after them."""
    return torch.cat([values, values.new_zeros(num_more)]) if num_more else values


def _behind_beginnings(sequences: _Sequences, names: numpy.ndarray, per_row: int) -> _Sequences:
    """Let the sequences of a row read its segment 1 too, where it has one."""
    row, segment = names // per_row, names % per_row
    beginnings = (segment == 1).nonzero()[0]
    before = numpy.full(row.max() + 1, -1)
    before[row[beginnings]] = beginnings
    behind = (segment > 1) & (before[row] >= 0)
    beginning, shared = sequences.beginning.copy(), sequences.shared.copy()
    beginning[behind] = sequences.start[before[row[behind]]]
    shared[behind] = sequences.length[before[row[behind]]]
    return sequences._replace(beginning=beginning, shared=shared)


def _groups(sequences: _Sequences, first: numpy.ndarray, asking: numpy.ndarray, results: numpy.ndarray) -> list[Group]:
    """Return all sequences that ask, longest first; each asks from place `first` [n] on, by `asking` [n] tokens.

    results [n]: where the results of its tokens begin.
    """
    total = sequences.shared + sequences.length
    order = numpy.argsort(-total, kind="stable")
    order = order[asking[order] > 0]
    groups, begun = [], 0
    for at in range(1, len(order) + 1):
        longest = total[order[begun]]
        if at < len(order) and total[order[at]] >= LEAST_FILLED * longest:
            pairs = asking[order[begun : at + 1]].max() * longest
            if pairs * (at + 1 - begun) <= MOST_PAIRS:
                continue
        groups.append(_group(sequences, first, asking, results, order[begun:at]))
        begun = at
    return groups


def _group(
    sequences: _Sequences, first: numpy.ndarray, asking: numpy.ndarray, results: numpy.ndarray, chosen: numpy.ndarray
) -> Group:
    beginning, shared, start, length = (each[chosen, None] for each in sequences)
    first, asking, results = (each[chosen, None] for each in (first, asking, results))  # [G, 1]
    total = shared + length
    column = numpy.arange(total.max())  # [T]
    read = numpy.where(column < shared, beginning + column, start - shared + column)
    own = numpy.arange(asking.max())  # [t]
    comes_after = column > (total - asking + own)[:, :, None]  # [G, t, T]
    return Group(
        read=numpy.where(column < total, read, NOWHERE),
        asking=numpy.where(own < asking, first + own, NOWHERE),
        hidden=torch.from_numpy(numpy.where(comes_after, numpy.float32(-numpy.inf), numpy.float32(0)))[:, None],
        results=numpy.where(own < asking, results + own, NOWHERE),
        once=not sequences.shared.any(),
    )
