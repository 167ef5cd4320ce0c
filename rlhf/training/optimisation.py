"""AdamW, learning-rate schedules and one optimiser step."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.models.mup import rates
from rlhf.params.optimisation import Optimisation
from rlhf.runtime import distributed, failures, parallel
from rlhf.sharding import shards


class MicroBatchLoss(NamedTuple):
    """What one micro-batch adds to its batch: weighted so that the sums over micro-batches are the batch's."""

    loss: Tensor
    measures: dict[str, float] = {}


class Update(NamedTuple):
    loss: float
    grad_norm: float  # before clipping
    measures: dict[str, float]


def adamw(model: nn.Module, params: Optimisation) -> torch.optim.Optimizer:
    """Return AdamW over the weights of `model` that learn; weight decay acts on matrices only (Brown 2020, App. B).

    `params.optimiser` may keep its moments in 8 bits (Dettmers et al. 2022), "paged" also outside a GPU's memory.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    betas = (params.adam_beta1, params.adam_beta2)
    alike = groups_of(model, trained, params)
    if params.optimiser not in (None, "adamw"):
        if any(map(shards.lies_in_shards, trained)):
            raise ValueError(
                f"params.yaml: optimisation.optimiser: '{params.optimiser}' knows no weights in shards; set it to "
                "adamw, or runtime.sharding to null"
            )
        kind = _in_8_bits(params.optimiser)
        return kind(alike, lr=params.learning_rate, betas=betas, eps=params.adam_eps)
    return torch.optim.AdamW(alike, lr=params.learning_rate, betas=betas, eps=params.adam_eps, fused=True)


def _in_8_bits(name: str) -> Any:
    """Return the class of bitsandbytes. Raises ValueError, saying how to install it, where it is missing."""
    try:
        import bitsandbytes  # pyright: ignore[reportMissingImports]  # nobody else needs it
    except ImportError as error:
        raise ValueError(
            f"params.yaml: optimisation.optimiser: '{name}' is of bitsandbytes, which cannot be imported ({error}); "
            "install it (pip install bitsandbytes==0.50.2), or set it to adamw"
        ) from None
    return {"adamw_8bit": bitsandbytes.optim.AdamW8bit, "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit}[name]


def groups_of(model: nn.Module, weights: Sequence[nn.Parameter], params: Optimisation) -> list[dict]:
    """Return the groups of AdamW's weights, those of one decay and rate together: see `groups` and, of μP, `rates`."""
    return [
        part
        for group in groups(weights, params.weight_decay)
        for part in rates.split(model, group, params.learning_rate, params.adam_eps)
    ]


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


def set_learning_rate(optimiser: torch.optim.Optimizer, params: Optimisation, step: int, num_steps: int) -> float:
    """Set the rate of update `step` for all groups, and return it; in μP a group's is a share of it (`rates`)."""
    rate = learning_rate(params, step, num_steps)
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(rates.SHARE, 1.0)
    return rate


class PlannedUpdate(NamedTuple):
    """One model's update on one batch: the loss is the sum over micro-batches, each computed by a call."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    losses: Iterable[Callable[[], MicroBatchLoss]]
    max_grad_norm: float


def step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    losses: Iterable[Callable[[], MicroBatchLoss]],
    max_grad_norm: float,
) -> Update:
    """Add up the gradients of the micro-batches, each computed by a call in one of the processes, and update once.

    See `steps`.
    """
    return steps([PlannedUpdate(model, optimiser, losses, max_grad_norm)])[0]


def steps(planned: Sequence[PlannedUpdate]) -> list[Update]:
    """Update several models that share no weight, each as if alone: side by side where there are several workers.

    Every process makes the same updates. No gradient is there before or after; a single worker takes the models in
    turn, so that only one has gradients. Raises NotFinite when a loss or a gradient is not finite, before any weight of
    the models computed side by side moves.
    """
    if parallel.workers() == 1:
        return [update for one in planned for update in _side_by_side([one])]
    return _side_by_side(planned)


def _side_by_side(planned: Sequence[PlannedUpdate]) -> list[Update]:
    weights = [[weight for weight in one.model.parameters() if weight.requires_grad] for one in planned]
    totals: list[float] = [0.0] * len(planned)
    measures: list[dict[str, float]] = [{} for _ in planned]
    for one in planned:
        one.optimiser.zero_grad(set_to_none=True)
    parts = [_Part(number, *part) for number, one in enumerate(planned) for part in parallel.dealt(one.losses)]
    results = parallel.here(lambda part: _differentiated(planned[part.number].model, part, weights), parts)
    for (number, _, counts), (loss, gradients, measured) in zip(parts, results, strict=True):
        if not counts:
            continue
        totals[number] += loss
        for weight, gradient in zip(weights[number], gradients, strict=False):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        for name, value in measured.items():
            measures[number][name] = measures[number].get(name, 0.0) + value
    for number in range(len(planned)):
        own = [] if shards.is_sharded(planned[number].model) else weights[number]  # gradients in shards are of all
        totals[number], measures[number] = _of_all_processes(totals[number], measures[number], own)
        if not math.isfinite(totals[number]):
            raise failures.NotFinite(f"the loss became {totals[number]}")
    clipped = [partial(clip_gradients, some, one.max_grad_norm) for some, one in zip(weights, planned, strict=True)]
    norms = list(parallel.here(lambda clip: clip(), clipped))
    for norm, total in zip(norms, totals, strict=True):
        if not math.isfinite(norm):
            raise failures.NotFinite(f"the gradient's norm became {norm} (the loss was {total})")
    for _ in parallel.here(_moved, planned):
        pass
    return [Update(*found) for found in zip(totals, norms, measures, strict=True)]


def clip_gradients(weights: list[nn.Parameter], max_grad_norm: float) -> float:
    return nn.utils.clip_grad_norm_(weights, max_grad_norm).item()


def _moved(one: PlannedUpdate) -> None:
    one.optimiser.step()
    one.optimiser.zero_grad(set_to_none=True)


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


class _Part(NamedTuple):
    """One micro-batch of one of several models."""

    number: int  # the model's
    compute: Callable[[], MicroBatchLoss]
    counts: bool  # else its gradient is 0: it is computed for the sake of the other processes


def _differentiated(
    model: nn.Module, part: _Part, weights: Sequence[list[nn.Parameter]]
) -> tuple[float, tuple[Tensor | None, ...], dict]:
    """Return loss, gradients and measures of one part. A single worker adds to the weights' gradients in place."""
    found = shards.within([model], part.compute)
    if parallel.workers() == 1:
        (found.loss if part.counts else 0 * found.loss).backward()
        return found.loss.item(), (), found.measures
    gradients = torch.autograd.grad(found.loss, weights[part.number], allow_unused=True)
    return found.loss.item(), gradients, found.measures
