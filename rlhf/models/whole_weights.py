"""A model's weights one whole tensor at a time, also where they lie in shards: for folders, and for rollout engines.

In shards each is gathered from all processes when it is asked for, and freed when nobody holds it any more: never is a
whole model in memory. All processes must walk through all of them, in step.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.sharding import shards


class Entry(NamedTuple):
    """A weight's name in a state dict, and how large it is when whole."""

    name: str
    shape: torch.Size
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return self.shape.numel() * self.dtype.itemsize


def entries(model: nn.Module) -> list[Entry]:
    """Return what `named` yields, without the weights: for whoever must know before the first of them comes."""
    return [Entry(name, weight.shape, weight.dtype) for name, weight in _own(model)]


@torch.no_grad()
def named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, whole tensor) of weights and kept buffers, as in a state dict, tied ones once. Collective in shards.

    A whole tensor of a plain model is the model's own, not a copy.
    """
    for name, weight in _own(model):
        yield name, shards.gathered(weight)


def merged_entries(model: nn.Module) -> list[Entry]:
    """Return what `merged` yields, without the weights."""
    return [
        Entry(name, weight.shape, weight.dtype if layer is None else torch.float32)
        for name, weight, layer in _without_adapters(model)
    ]


@torch.no_grad()
def merged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the same of a model with LoRA's adapters, as if these were added to their layers; the model stays as it is.

    Names are those of the model without adapters. Of a model without any, this is `named`.
    """
    for name, weight, layer in _without_adapters(model):
        found = shards.gathered(weight)
        yield name, found if layer is None else found.float() + _added(layer)


def _own(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the entries of a state dict, each tensor under its first name alone."""
    seen: set[int] = set()
    for name, weight in model.state_dict(keep_vars=True).items():
        if id(weight) not in seen:
            seen.add(id(weight))
            yield name, weight.detach()


def _without_adapters(model: nn.Module) -> Iterator[tuple[str, Tensor, Any]]:
    """Yield names without adapters, weights as they lie, and the layer whose adapters are to be added, if any."""
    adapted: dict[str, Any] = {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A")}
    for name, weight in _own(model):
        owner, _, own = name.rpartition(".base_layer.")
        if owner in adapted:
            yield f"{owner}.{own}", weight, adapted[owner] if own == "weight" else None
        elif name.rpartition(".lora_")[0] not in adapted:
            yield name, weight, None


def _added(layer: Any) -> Tensor:
    """Return what a layer's adapters add to its weight, in float32."""
    total: Tensor | None = None
    for name in layer.active_adapters:
        down, up = (shards.gathered(part[name].weight.detach()).float() for part in (layer.lora_A, layer.lora_B))
        change = up @ down * layer.scaling[name]
        change = change.T if layer.fan_in_fan_out else change  # GPT-2's layers hold their weight turned
        total = change if total is None else total + change
    assert total is not None
    return total
