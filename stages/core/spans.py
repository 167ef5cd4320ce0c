"""Sequences end to end in one stream of tokens, without padding, and the attention within each of them."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function


class Place(NamedTuple):
    start: int
    length: int


class Span(NamedTuple):
    """Queries that attend to keys: the last query to all of them, each one before it to one key fewer at the end."""

    keys: tuple[Place, ...]  # of the stream, in order; the last of them is the sequence's own
    own: Place  # of the stream: the tokens that ask
    queries: Place  # of the result: where they stand


class Stream(NamedTuple):
    ids: Tensor  # [N]
    positions: Tensor  # [N]
    spans: list[Span]  # every token asks
    last_spans: list[Span]  # of the last layer: only the end of each sequence, from its first wanted token on
    rows: Tensor | None  # [M] those ends' places in the stream; None where they are all of it
    wanted: Tensor | None  # [M] True on the wanted of them; None where they all are
    shared: bool  # several sequences begin with the same keys


def stream(ids: Tensor, positions: Tensor, segments: Tensor, wanted: Tensor, forked: bool) -> Stream:
    """Return the real tokens of a batch, row after row; all tensors are [B, T].

    segments: number of the sequence in its row, 0 for padding. With `forked`, segment 1 is the beginning of the others
    of its row. wanted: True where the model's last hidden state is asked for.
    """
    real = segments > 0
    rows = torch.arange(len(ids), device=ids.device).unsqueeze(1).expand_as(segments)[real]  # [N]
    asked = wanted[real]  # [N]
    names, lengths = torch.unique_consecutive(torch.stack([rows, segments[real]]), dim=1, return_counts=True)
    spans, last_spans, tails = [], [], []
    start = placed = 0
    beginnings = {}  # of each row
    asked_list = asked.tolist()
    for row, segment, length in zip(*names.tolist(), lengths.tolist(), strict=True):
        own = Place(start, length)
        keys = (beginnings[row], own) if row in beginnings else (own,)
        if forked and segment == 1:
            beginnings[row] = own
        spans.append(Span(keys, own, own))
        first = next((place for place in range(start, start + length) if asked_list[place]), None)
        if first is not None:
            tail = Place(first, start + length - first)
            last_spans.append(Span(keys, tail, Place(placed, tail.length)))
            tails.append(torch.arange(first, start + length))
            placed += tail.length
        start += length
    everything = placed == start
    kept = torch.cat(tails).to(ids.device)  # [M]
    chosen = asked[kept]
    return Stream(
        ids[real],
        positions[real],
        spans,
        last_spans,
        None if everything else kept,
        None if bool(chosen.all()) else chosen,
        forked,
    )


def attend(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    heads: tuple[int, int],
    rotation: tuple[Tensor, Tensor] | None,
    spans: list[Span],
    shared: bool,
) -> Tensor:
    """Return what the heads read for each asking token: x [N, D] -> [M, heads * width].

    weight [D, (H + 2 G) width] projects x to H query, G key and G value heads side by side; rotation: cosines and sines
    [N, width / 2] of rotary positions. Equals causal softmax attention on each sequence alone (Vaswani et al. 2017);
    the gradient is written out, so that it reads and writes the projections in place and copies no head.
    """
    return _Attention.apply(x, weight, bias, heads, rotation, spans, shared)


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, x, weight, bias, heads, rotation, spans, shared) -> Tensor:
        projected = _projected(x, weight, bias, heads, rotation)
        result, weights = read(*_parts(projected, heads), spans)
        ctx.save_for_backward(x, weight, projected, *weights)
        ctx.heads, ctx.rotation, ctx.spans, ctx.shared, ctx.has_bias = heads, rotation, spans, shared, bias is not None
        return result.flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, projected, *weights = ctx.saved_tensors
        queries, keys, values = (part.transpose(0, 1) for part in _parts(projected, ctx.heads))  # [H or G, N, width]
        scale, size = queries.shape[-1] ** -0.5, ctx.heads[0] // ctx.heads[1]
        once = sum(span.own.length for span in ctx.spans) == len(x) and not ctx.shared and size == 1
        to_projected = torch.empty_like(projected) if once else torch.zeros_like(projected)
        parts = _parts(to_projected, ctx.heads)
        to_queries, to_keys, to_values = (part.transpose(0, 1) for part in parts)
        turned_values = values.transpose(1, 2)  # [G, width, N]
        gradient = gradient.view(-1, queries.shape[0], queries.shape[2]).transpose(0, 1)  # [H, M, width]
        for span, weighted in zip(ctx.spans, weights, strict=True):
            received = gradient.narrow(1, *span.queries)  # [H, t, width]
            to_weights = torch.bmm(received, _joined(turned_values, span.keys, size, 2))  # [H, t, T]
            to_scores = torch._softmax_backward_data(to_weights, weighted, -1, weighted.dtype).mul_(scale)
            asking = queries.narrow(1, *span.own)
            to_queries.narrow(1, *span.own).copy_(torch.bmm(to_scores, _joined(keys, span.keys, size, 1)))
            _hand_out(to_keys, torch.bmm(to_scores.transpose(1, 2), asking), span.keys, size, once)
            _hand_out(to_values, torch.bmm(weighted.transpose(1, 2), received), span.keys, size, once)
        if ctx.rotation is not None:
            cosines, sines = ctx.rotation
            for part in parts[:2]:
                _rotate(part, (cosines, -sines))
        to_bias = to_projected.sum(0) if ctx.has_bias else None
        return to_projected @ weight.t(), x.t() @ to_projected, to_bias, None, None, None, None


def projections(
    x: Tensor, weight: Tensor, bias: Tensor | None, heads: tuple[int, int], rotation: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rotated queries [N, H, width] and keys, and values [N, G, width], of x [N, D]; as in `attend`."""
    return _parts(_projected(x, weight, bias, heads, rotation), heads)


def read(queries: Tensor, keys: Tensor, values: Tensor, spans: list[Span]) -> tuple[Tensor, list[Tensor]]:
    """Return what the asking tokens read [M, H, width], and each span's weights [H, t, T], which sum to 1 over T."""
    scale, size = queries.shape[-1] ** -0.5, queries.shape[1] // keys.shape[1]
    last = spans[-1].queries
    result = queries.new_empty(last.start + last.length, *queries.shape[1:])  # [M, H, width]
    asking_all, seen_all, read_all = queries.transpose(0, 1), keys.permute(1, 2, 0), values.transpose(0, 1)
    placed, weights = result.transpose(0, 1), []
    for span in spans:
        asking = asking_all.narrow(1, *span.own)  # [H, t, width]
        seen = _joined(seen_all, span.keys, size, 2)  # [H, width, T]
        masked = _causal(seen.shape[2], queries.dtype)
        if span.own.length < seen.shape[2]:
            masked = masked[-span.own.length :]  # [t, T]
        weights.append(torch.baddbmm(masked, asking, seen, alpha=scale).softmax(-1))
        placed.narrow(1, *span.queries).copy_(torch.bmm(weights[-1], _joined(read_all, span.keys, size, 1)))
    return result, weights


def _projected(
    x: Tensor, weight: Tensor, bias: Tensor | None, heads: tuple[int, int], rotation: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Return queries, keys and values side by side, [N, (H + 2 G) width], the first two rotated."""
    projected = x @ weight if bias is None else torch.addmm(bias, x, weight)
    if rotation is not None:
        for states in _parts(projected, heads)[:2]:
            _rotate(states, rotation)
    return projected


def _parts(projected: Tensor, heads: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries [N, H, width], keys and values [N, G, width], all of them views."""
    asking, read = heads
    width = projected.shape[1] // (asking + 2 * read)
    cut = projected.view(len(projected), asking + 2 * read, width)
    return cut[:, :asking], cut[:, asking : asking + read], cut[:, asking + read :]


def _joined(read: Tensor, places: tuple[Place, ...], size: int, dim: int) -> Tensor:
    """Return the chosen tokens (along `dim`) of keys or values [G, ..], each head `size` times: [H, ..]."""
    if len(places) == 1:
        chosen = read.narrow(dim, *places[0])
    else:
        chosen = torch.cat([read.narrow(dim, *place) for place in places], dim)
    return chosen if size == 1 else chosen.repeat_interleave(size, dim=0)


def _hand_out(to: Tensor, found: Tensor, places: tuple[Place, ...], size: int, once: bool) -> None:
    """Add gradients [H, T, width] to the tokens [G, N, width] that were read, or set them where all are read once."""
    if once:
        to.narrow(1, *places[0]).copy_(found)
        return
    if size > 1:
        found = found.unflatten(0, (-1, size)).sum(1)
    start = 0
    for place in places:
        to.narrow(1, *place).add_(found.narrow(1, start, place.length))
        start += place.length


def _rotate(states: Tensor, rotation: tuple[Tensor, Tensor]) -> None:
    """Turn [N, H, width] in place by rotary positions (Su et al. 2021), the halves of a head being the coordinates."""
    cosines, sines = (angle.unsqueeze(1) for angle in rotation)  # [N, 1, width / 2]
    first, second = states.chunk(2, dim=-1)
    crossed = first * sines
    first.mul_(cosines).addcmul_(second, sines, value=-1)
    second.mul_(cosines).add_(crossed)


@lru_cache(maxsize=256)
def _causal(size: int, dtype: torch.dtype) -> Tensor:
    """Return what is added to scores [size, size]: 0 for keys up to the query's own, else minus infinity."""
    return torch.full((size, size), -torch.inf, dtype=dtype).triu(1)
