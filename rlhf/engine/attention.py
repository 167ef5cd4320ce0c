"""Causal attention over a stream of sequences (`spans`), and rotary positions; the gradients are written by hand.

Queries, keys and values [N C, width] of all heads are gathered once a layer, group by group, so that each group is one
batched product [G heads, t, T]; its results are scattered back once. On a CPU, calls and copies cost a small model more
than products do.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.autograd import Function

from rlhf.engine.spans import Group


class Plan(NamedTuple):
    """Where the heads of a layer's N tokens stand in its products, and the M results in what they find.

    Rows are heads of tokens, `width` numbers each, token after token: [N C, width] for C = H + 2 K query, key and value
    heads, [M H, width] for results. Padding reads any row, and finds zeros or is read by nobody; indices to what is
    found have its length for a row of zeros at the end.
    """

    heads: tuple[int, int]  # H query heads; K key and as many value heads
    taken: Tensor  # [R] of [N C]: the queries of all groups, all keys, all values; in a group key head after key head
    asking: list[int]  # rows of each group's queries, and of its results
    read: list[int]  # rows of each group's keys, and of its values
    hidden: list[Tensor]  # of each group
    found: Tensor  # [M H] of the groups' results, which stand as their queries do
    asked: Tensor  # [queries] of [M H]: the reverse
    given: Tensor | None  # [N C] of [R]: the reverse of taken; None where some token is read in two sequences


def plan(groups: Sequence[Group], heads: tuple[int, int], num_tokens: int, num_results: int) -> Plan:
    """Return the plan of a layer in which `groups` ask."""
    num_heads, num_keys = heads
    per_token, size = num_heads + 2 * num_keys, num_heads // num_keys
    key = numpy.arange(num_keys)[:, None, None]
    query = key[..., None] * size + numpy.arange(size)[:, None]  # [K, 1, size, 1]

    def rows(places: numpy.ndarray, head: numpy.ndarray, of: int) -> numpy.ndarray:
        return numpy.where(places < 0, -1, places * of + head).ravel()

    queries = [rows(group.asking[:, None], query, per_token) for group in groups]
    keys, values = (
        [rows(group.read, first + key, per_token) for group in groups] for first in (num_heads, num_heads + num_keys)
    )
    taken = numpy.concatenate(queries + keys + values)
    asked = numpy.concatenate([rows(group.results[:, None], query, num_heads) for group in groups])
    once = all(group.once for group in groups)
    return Plan(
        heads=heads,
        taken=torch.from_numpy(taken.clip(min=0)),
        asking=[len(part) for part in queries],
        read=[len(part) for part in keys],
        hidden=[group.hidden for group in groups],
        found=_reverse(asked, num_results * num_heads),
        asked=torch.from_numpy(numpy.where(asked < 0, num_results * num_heads, asked)),
        given=_reverse(taken, num_tokens * per_token) if once else None,
    )


def _reverse(places: numpy.ndarray, num_rows: int) -> Tensor:
    """Return where in `places` [n] each of so many rows stands; n for those that do not."""
    found = numpy.full(num_rows, len(places))
    real = (places >= 0).nonzero()[0]
    found[places[real]] = real
    return torch.from_numpy(found)


def attend(projected: Tensor, plan: Plan) -> Tensor:
    """Return what the heads read for each asking token: [N, C width] -> [M, H width].

    projected: H query, K key and K value heads side by side. Equals causal softmax attention on each sequence alone
    (Vaswani et al. 2017). In bfloat16, scores and softmax are float32 all the same.
    """
    return _Attention.apply(projected, plan)


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, plan: Plan) -> Tensor:
        result, weights = read(projected, plan)
        ctx.save_for_backward(projected, *weights)
        ctx.plan = plan
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # one output, one gradient
        projected, *weights = ctx.saved_tensors
        plan, width = ctx.plan, _width(projected, ctx.plan.heads)
        num_asking = len(plan.asked)
        chosen = projected.view(-1, width).index_select(0, plan.taken)
        chosen[:num_asking].mul_(width**-0.5)
        received = gradient.reshape(-1, width)
        wanted = torch.cat([received, received.new_zeros(1, width)]).index_select(0, plan.asked)
        to_chosen = _with_zeros(chosen, len(chosen))
        kinds = (*_by_kind(chosen, plan), *_by_kind(to_chosen[:-1], plan), _batches(wanted, plan.asking, plan))
        for weight, queries, keys, values, to_queries, to_keys, to_values, asked in zip(weights, *kinds, strict=True):
            to_weights = torch.bmm(asked, values.mT).float()  # [K G, size t, T]
            to_scores = torch._softmax_backward_data(to_weights, weight, -1, weight.dtype)  # pyright: ignore[reportPrivateImportUsage]  # no public name
            to_scores = to_scores.to(values.dtype)
            torch.bmm(to_scores, keys, out=to_queries)
            torch.bmm(to_scores.mT, queries, out=to_keys)
            torch.bmm(weight.to(values.dtype).mT, asked, out=to_values)
        to_chosen[:num_asking].mul_(width**-0.5)
        if plan.given is not None:
            return to_chosen.index_select(0, plan.given).view_as(projected), None
        shares = to_chosen[:-1].float()  # padding's are zeros
        sums = shares.new_zeros(projected.numel() // width, width).index_add_(0, plan.taken, shares)
        return sums.to(projected.dtype).view_as(projected), None


def read(projected: Tensor, plan: Plan) -> tuple[Tensor, list[Tensor]]:
    """Return what `attend` does, [M, H width], and each group's weights, which sum to 1 over the read tokens."""
    width, weights = _width(projected, plan.heads), []
    num_asking, num_read = len(plan.asked), sum(plan.read)
    chosen = projected.view(-1, width).index_select(0, plan.taken)
    exact = chosen[: num_asking + num_read].float()
    exact[:num_asking].mul_(width**-0.5)
    found = _with_zeros(chosen, num_asking)
    kinds = (
        _batches(exact[:num_asking], plan.asking, plan),
        _batches(exact[num_asking:], plan.read, plan),
        _batches(chosen[num_asking + num_read :], plan.read, plan),
        _batches(found[:-1], plan.asking, plan),
    )
    for hidden, queries, keys, values, results in zip(plan.hidden, *kinds, strict=True):
        scores = torch.bmm(queries, keys.mT)  # [K G, size t, T]
        scores.view(plan.heads[1], len(hidden), -1, *hidden.shape[2:]).add_(hidden)
        weights.append(torch.softmax(scores, -1))
        torch.bmm(weights[-1].to(values.dtype), values, out=results)
    return found.index_select(0, plan.found).view(-1, plan.heads[0] * width), weights


def _with_zeros(like: Tensor, num_rows: int) -> Tensor:
    """Return so many rows [n + 1, width] to be written, and one of zeros at the end."""
    made = like.new_empty(num_rows + 1, like.shape[1])
    made[-1] = 0
    return made


def _by_kind(chosen: Tensor, plan: Plan) -> list[list[Tensor]]:
    """Return the queries, the keys and the values of all groups."""
    kinds = (plan.asking, plan.read, plan.read)
    parts = chosen.split([sum(sizes) for sizes in kinds])
    return [_batches(part, sizes, plan) for part, sizes in zip(parts, kinds, strict=True)]


def _batches(rows: Tensor, sizes: list[int], plan: Plan) -> list[Tensor]:
    """Return each group's rows as one batched product's: [K G, size t or T, width]."""
    return [
        part.view(plan.heads[1] * len(hidden), -1, rows.shape[1])
        for part, hidden in zip(rows.split(sizes), plan.hidden, strict=True)
    ]


def rotated(projected: Tensor, heads: tuple[int, int], rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Return [N, (H + 2 G) width], changed in place: queries and keys turned by rotary positions (Su et al. 2021).

    rotation: cosines and sines [N, width / 2]; the halves of a head are the coordinates.
    """
    return _Rotated.apply(projected, heads, rotation)


class _Rotated(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, heads: tuple[int, int], rotation: tuple[Tensor, Tensor]) -> Tensor:
        ctx.heads, ctx.rotation = heads, rotation
        ctx.mark_dirty(projected)
        return _turn(projected, heads, *rotation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # one output, one gradient
        cosines, sines = ctx.rotation
        return _turn(gradient.clone(), ctx.heads, cosines, -sines), None, None


def parts(projected: Tensor, heads: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries [N, H, width], keys and values [N, G, width], all of them views."""
    states = projected.view(len(projected), -1, _width(projected, heads))
    queries, keys, values = states.split((heads[0], heads[1], heads[1]), dim=1)
    return queries, keys, values


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
