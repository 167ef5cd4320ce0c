"""Matrix products in float32, or in bfloat16 under autocast; weights, sums and weights' gradients stay float32."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def dtype(states: Tensor) -> torch.dtype:
    """Return what autocast, where it is on, computes products of `states` in; else their own dtype."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def lower() -> torch.dtype | None:
    """Return what autocast on a CPU computes products in; None where it is off."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def as_written() -> AbstractContextManager[Any]:
    """Return a context on a CPU in which products are computed in the dtypes of their factors."""
    return torch.autocast("cpu", enabled=False)


def num_rows(needed: int, of: torch.dtype) -> int:
    """Return how many rows to compute where so many are needed.

    oneDNN makes a program for each shape of a bfloat16 product, which takes as long as the product and about two
    megabytes; in steps of a sixteenth or less there are few shapes.
    """
    if of != torch.bfloat16:
        return needed
    step = max(16, 2 ** (needed.bit_length() - 5))
    return -(-needed // step) * step


def affine(x: Tensor, weight: Tensor, bias: Tensor | None, of: torch.dtype) -> Tensor:
    """Return x weight + bias [N, E], computed in `of`: x [N, D], weight [D, E], bias [E].

    A lower copy of the weight lives as long as the product that it stands in, so that a model never has one whole.
    A frozen weight that is in `of` already is taken as it is.
    """
    if of == weight.dtype:
        return x.to(of) @ weight if bias is None else torch.addmm(bias.to(of), x.to(of), weight)
    return _Lowered.apply(x, weight, bias, of)


class _Lowered(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, of: torch.dtype) -> Tensor:
        low = x.to(of)
        ctx.save_for_backward(low if ctx.needs_input_grad[1] else None, weight)
        ctx.dtype, ctx.of = x.dtype, of
        return low @ weight.to(of) if bias is None else torch.addmm(bias.to(of), low, weight.to(of))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # one output, one gradient
        low, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        to_x = (gradient @ weight.to(ctx.of).t()).to(ctx.dtype) if of_x else None
        to_bias = gradient.sum(0, dtype=weight.dtype) if of_bias else None
        return to_x, (low.t() @ gradient).to(weight.dtype) if of_weight else None, to_bias, None
