"""AdamW, learning-rate schedules and one optimiser step."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stages.core import distributed, failures, parallel
from stages.params.optimisation import Optimisation


class Share(NamedTuple):
    """What one part of a batch adds to it: weighted so that the parts' sums are the batch's."""

    loss: Tensor
    measures: dict[str, float] = {}


class Update(NamedTuple):
    loss: float
    grad_norm: float  # before clipping
    measures: dict[str, float]


def adamw(model: nn.Module, params: Optimisation) -> torch.optim.AdamW:
    """Return AdamW over `model`; weight decay acts on matrices only (Brown et al. 2020, App. B)."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    betas = (params.adam_beta1, params.adam_beta2)
    alike = groups(trained, params.weight_decay)
    return torch.optim.AdamW(alike, lr=params.learning_rate, betas=betas, eps=params.adam_eps, fused=True)


def groups(weights: Sequence[nn.Parameter], weight_decay: float) -> list[dict]:
    """Return an optimiser's groups: weights of two or more dimensions, which decay, and the others, which do not."""
    return [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate(params: Optimisation, step: int, num_steps: int) -> float:
    """Return the rate for update `step` (from 0) of `num_steps`: warm-up, then the schedule to its final share."""
    if step < params.warmup_steps:
        start = params.warmup_start
        return params.learning_rate * (start + (1 - start) * (step + 1) / params.warmup_steps)
    progress = (step - params.warmup_steps) / max(1, num_steps - params.warmup_steps)
    floor = params.final_share
    if params.schedule == "constant":
        share = 1.0
    elif params.schedule == "linear":
        share = 1 - (1 - floor) * progress
    else:
        share = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    return params.learning_rate * share


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def step(
    model: nn.Module, optimiser: torch.optim.Optimizer, parts: Iterable[Callable[[], Share]], max_grad_norm: float
) -> Update:
    """Add up the gradients of the batch's parts, each computed by a call in one of the processes, and update once.

    Every process makes the same update. No gradient is there before it or after it: of several models that take turns,
    one has gradients. Raises NotFinite, before it moves a weight, when the loss or its gradient is not finite.
    """
    optimiser.zero_grad(set_to_none=True)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total, measures = 0.0, {}
    for loss, gradients, shares in parallel.here(lambda part: _differentiated(part(), weights), parallel.own(parts)):
        total += loss
        for weight, gradient in zip(weights, gradients, strict=False):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        for name, share in shares.items():
            measures[name] = measures.get(name, 0.0) + share
    total, measures = _of_all_processes(total, measures, weights)
    if not math.isfinite(total):
        raise failures.NotFinite(f"the loss became {total}")
    norm = nn.utils.clip_grad_norm_(weights, max_grad_norm).item()
    if not math.isfinite(norm):
        raise failures.NotFinite(f"the gradient's norm became {norm} (the loss was {total})")
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return Update(total, norm, measures)


def _of_all_processes(total: float, measures: dict, weights: list[nn.Parameter]) -> tuple[float, dict]:
    """Return the loss and the measures of all processes' parts, and give the weights the gradients of all.

    Where a process had no part that uses a weight, or no part at all, its share is 0.
    """
    if distributed.count() == 1:
        return total, measures
    totals, several, used = zip(
        *distributed.gathered((total, measures, [weight.grad is not None for weight in weights])), strict=True
    )
    moved = [weight for weight, anywhere in zip(weights, map(any, zip(*used, strict=True)), strict=True) if anywhere]
    own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in moved]
    for weight, gradient in zip(moved, distributed.summed(own), strict=True):
        weight.grad = gradient
    names = dict.fromkeys(name for measured in several for name in measured)
    return sum(totals), {name: sum(measured.get(name, 0.0) for measured in several) for name in names}


def _differentiated(share: Share, weights: list[nn.Parameter]) -> tuple[float, tuple[Tensor | None, ...], dict]:
    """Return loss, gradients and measures of one part. A single worker adds to the weights' gradients in place."""
    if parallel.workers() == 1:
        share.loss.backward()
        return share.loss.item(), (), share.measures
    return share.loss.item(), torch.autograd.grad(share.loss, weights, allow_unused=True), share.measures
