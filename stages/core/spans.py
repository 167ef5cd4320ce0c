"""Sequences end to end in one stream of tokens, without padding, and the attention within each of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.autograd import Function

LEAST_FILLED = 0.6  # of a group's width: its shortest sequence
MOST_PAIRS = 2**18  # of asking and read tokens in a group of several sequences


class Group(NamedTuple):
    """Sequences of like length side by side, from the left: G of them, at most t asking and T read tokens each."""

    read: Tensor  # [G, T] places in the stream of the tokens that may be read; any place on padding
    asking: Tensor  # [G, t] places in the stream of the last of them, which ask
    hidden: Tensor  # [G, 1, t, T] added to scores: minus infinity where the read token comes after the asking one
    real_read: Tensor  # [n] where, in the flattened [G, T], the real ones stand
    real_asking: Tensor  # [m] likewise in [G, t]
    results: Tensor  # [m] and where their results go
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


def _group(sequences: _Sequences, first, asking, results, chosen: numpy.ndarray) -> Group:
    beginning, shared, start, length = (each[chosen, None] for each in sequences)
    first, asking, results = (each[chosen, None] for each in (first, asking, results))  # [G, 1]
    total = shared + length
    column = numpy.arange(total.max())  # [T]
    read = numpy.where(column < shared, beginning + column, start - shared + column)
    real_read = column < total
    own = numpy.arange(asking.max())  # [t]
    real_asking = own < asking
    hidden = column > (total - asking + own)[:, :, None]  # [G, t, T]
    made = (
        numpy.where(real_read, read, 0),
        numpy.where(real_asking, first + own, 0),
        numpy.where(hidden, numpy.float32(-numpy.inf), numpy.float32(0))[:, None],
        real_read.ravel().nonzero()[0],
        real_asking.ravel().nonzero()[0],
        (results + own)[real_asking],
    )
    return Group(*map(torch.from_numpy, made), once=not sequences.shared.any())


def attend(projected: Tensor, heads: tuple[int, int], groups: Sequence[Group], num_results: int) -> Tensor:
    """Return what the heads read for each asking token: [N, (H + 2 G) width] -> [M, H width].

    projected: H query, G key and G value heads side by side. Equals causal softmax attention on each sequence alone
    (Vaswani et al. 2017); the gradient is written out. In bfloat16, scores and softmax are float32 all the same.
    """
    return _Attention.apply(projected, heads, groups, num_results)


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, heads, groups: Sequence[Group], num_results: int) -> Tensor:
        result, weights = read(projected, heads, groups, num_results)
        ctx.save_for_backward(projected, *weights)
        ctx.heads, ctx.groups = heads, groups
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        projected, *weights = ctx.saved_tensors
        heads, width = ctx.heads, _width(projected, ctx.heads)
        received = gradient.unflatten(1, (heads[0], width))  # [M, H, width]
        sums = (
            projected.dtype if all(group.once for group in ctx.groups) else torch.float32
        )  # of several readers' shares
        to_projected = torch.zeros(projected.shape, dtype=sums)
        to_asking, to_keys, to_values = parts(to_projected, heads)
        for group, weighted in zip(ctx.groups, weights, strict=True):
            asking, keys, values = _chosen(projected, heads, group)
            wanted = received.new_zeros(group.asking.numel(), heads[0], width)  # [G t, H, width]
            wanted.index_copy_(0, group.real_asking, received.index_select(0, group.results))
            wanted = _by_head(wanted, heads[0] // heads[1], group.asking)  # [G heads, size t, width]
            to_weights = torch.bmm(wanted, values.mT).float()  # [G heads, size t, T]
            to_scores = torch._softmax_backward_data(to_weights, weighted, -1, weighted.dtype).mul_(width**-0.5)
            to_scores = to_scores.to(values.dtype)
            _hand_out(to_asking, torch.bmm(to_scores, keys), group.asking, group.real_asking, once=True)
            _hand_out(to_keys, torch.bmm(to_scores.mT, asking), group.read, group.real_read, group.once)
            to_read = torch.bmm(weighted.to(values.dtype).mT, wanted)
            _hand_out(to_values, to_read, group.read, group.real_read, group.once)
        return to_projected.to(projected.dtype), None, None, None


def read(
    projected: Tensor, heads: tuple[int, int], groups: Sequence[Group], num_results: int
) -> tuple[Tensor, list[Tensor]]:
    """Return what `attend` does, [M, H width], and each group's weights, which sum to 1 over the read tokens."""
    width, size = _width(projected, heads), heads[0] // heads[1]
    result, weights = projected.new_zeros(num_results, heads[0], width), []
    for group in groups:
        asking, keys, values = _chosen(projected, heads, group)
        scores = torch.bmm(asking.float(), keys.float().mT).mul_(width**-0.5)  # [G heads, size t, T]
        scores.view(heads[1], len(group.asking), size, *group.hidden.shape[2:]).add_(group.hidden)
        weights.append(torch.softmax(scores, -1))
        found = _by_token(torch.bmm(weights[-1].to(values.dtype), values), group.asking)  # [G t, H, width]
        result.index_copy_(0, group.results, found.index_select(0, group.real_asking))
    return result.flatten(1), weights


def rotated(projected: Tensor, heads: tuple[int, int], rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Return [N, (H + 2 G) width], changed in place: queries and keys turned by rotary positions (Su et al. 2021).

    rotation: cosines and sines [N, width / 2]; the halves of a head are the coordinates.
    """
    return _Rotated.apply(projected, heads, rotation)


class _Rotated(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, heads, rotation) -> Tensor:
        ctx.heads, ctx.rotation = heads, rotation
        ctx.mark_dirty(projected)
        return _turn(projected, heads, *rotation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cosines, sines = ctx.rotation
        return _turn(gradient.clone(), ctx.heads, cosines, -sines), None, None


def parts(projected: Tensor, heads: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries [N, H, width], keys and values [N, G, width], all of them views."""
    return projected.view(len(projected), -1, _width(projected, heads)).split((heads[0], heads[1], heads[1]), dim=1)


def _width(projected: Tensor, heads: tuple[int, int]) -> int:
    return projected.shape[1] // (heads[0] + 2 * heads[1])


def _turn(projected: Tensor, heads: tuple[int, int], cosines: Tensor, sines: Tensor) -> Tensor:
    cosines, sines = cosines.unsqueeze(1), sines.unsqueeze(1)  # [N, 1, width / 2]
    for states in parts(projected, heads)[:2]:
        first, second = states.chunk(2, dim=-1)
        crossed = first * sines
        first.mul_(cosines).sub_(second * sines)
        second.mul_(cosines).add_(crossed)
    return projected


def _chosen(projected: Tensor, heads: tuple[int, int], group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """Return a group's queries [G heads, size t, width], keys and values [G heads, T, width].

    `size` query heads ask each key head; they stand one after another, so that keys need no copy for each.
    """
    places = (group.asking, group.read, group.read)
    sizes = (heads[0] // heads[1], 1, 1)
    return tuple(
        _by_head(part.index_select(0, where.flatten()), size, where)
        for part, where, size in zip(parts(projected, heads), places, sizes, strict=True)
    )


def _by_head(states: Tensor, size: int, places: Tensor) -> Tensor:
    """Return [G t, heads size, width] as [heads G, size t, width]; places [G, t]."""
    cut = states.view(*places.shape, -1, size, states.shape[-1])
    return cut.permute(2, 0, 3, 1, 4).reshape(-1, size * places.shape[1], states.shape[-1])


def _by_token(states: Tensor, places: Tensor) -> Tensor:
    """Return [heads G, size t, width] as [G t, heads size, width]; places [G, t]."""
    num_rows, num_tokens = places.shape
    cut = states.view(-1, num_rows, states.shape[1] // num_tokens, num_tokens, states.shape[-1])
    return cut.permute(1, 3, 0, 2, 4).reshape(num_rows * num_tokens, -1, states.shape[-1])


def _hand_out(to: Tensor, found: Tensor, places: Tensor, real: Tensor, once: bool) -> None:
    """Give a group's gradients [heads G, size t, width] to the tokens [N, heads size, width] that they belong to.

    Those that are read `once` are set, the others added to, which takes several times as long.
    """
    where, by_token = places.flatten().index_select(0, real), _by_token(found, places).index_select(0, real)
    if once:
        to.index_copy_(0, where, by_token.to(to.dtype))
    else:
        to.index_add_(0, where, by_token.to(to.dtype))
