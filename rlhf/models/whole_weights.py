"""A model's weights one whole tensor at a time, also where they lie in shards: for folders, and for rollout engines.

In shards each is gathered from all processes when it is asked for, and freed when nobody holds it any more: never is a
whole model in memory. All processes must walk through all of them, in step.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class Named(NamedTuple):
    """A weight's name in a state dict, and how large it is when whole."""

    name: str
    shape: torch.Size
    dtype: torch.dtype


def names(model: nn.Module) -> list[Named]:
    """Return what `named` yields, without a weight: for whoever must know before the first comes."""
    return [Named(name, weight.shape, weight.dtype) for name, weight in _own(model)]


@torch.no_grad()
def named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, whole tensor) of weights and kept buffers, as in a state dict, tied ones once. Collective in shards.

    A whole tensor of a plain model is the model's own, not a copy.
    """
    for name, weight in _own(model):
        yield name, whole(weight)


@torch.no_grad()
def merged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the same of a model with LoRA's adapters, as if these were added to their layers; the model stays.

    Names are those of the model without adapters. Of a model without any, this is `named`.
    """
    adapted = {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A")}
    for name, weight in _own(model):
        owner, _, own = name.rpartition(".base_layer.")
        if owner in adapted:
            found = whole(weight)
            if own == "weight":
                found = found.float() + _added(adapted[owner])
            yield f"{owner}.{own}", found
        elif not any(name.startswith(f"{owner}.lora_") for owner in adapted):
            yield name, whole(weight)


def whole(weight: Tensor) -> Tensor:
    """Return a tensor whole, gathered where it lies in shards. Collective there."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _own(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the entries of a state dict, each tensor under its first name alone."""
    seen: set[int] = set()
    for name, weight in model.state_dict(keep_vars=True).items():
        if id(weight) not in seen:
            seen.add(id(weight))
            yield name, weight.detach()


def _added(layer: Any) -> Tensor:
    """Return what a layer's adapters add to its weight, in float32."""
    total: Tensor | None = None
    for name in layer.active_adapters:
        down, up = (whole(part[name].weight.detach()).float() for part in (layer.lora_A, layer.lora_B))
        change = up @ down * layer.scaling[name]
        change = change.T if layer.fan_in_fan_out else change  # GPT-2's layers hold their weight turned
        total = change if total is None else total + change
    assert total is not None
    return total
