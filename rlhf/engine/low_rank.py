"""LoRA (Hu et al. 2021) in our own forward pass: x W + scaling (x A) B, by PEFT's layers, whose `.weight` is W alone.

A layer that an adapter is on is read through `base_of` and `adapters_of`; what is not plain LoRA is told by `exact`.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.engine import products

PLAIN = ("peft.tuners.lora.layer", "Linear")  # module and name of the one kind of layer that is read here


class Adapter(NamedTuple):
    down: Tensor  # [D, r], A
    up: Tensor  # [r, E], B
    scaling: float


def is_adapted(module: nn.Module) -> bool:
    """Say whether a layer is wrapped by PEFT, in whatever way."""
    return hasattr(module, "base_layer") or hasattr(module, "original_module")


def base_of(module: Any) -> Any:
    """Return the layer itself, without its adapters."""
    return getattr(module, "base_layer", module)


def adapters_of(module: Any) -> list[Adapter]:
    """Return the active adapters of a layer; none where it is not wrapped."""
    if not is_adapted(module):
        return []
    names = [name for name in module.active_adapters if name in module.lora_A]
    return [
        Adapter(module.lora_A[name].weight.t(), module.lora_B[name].weight.t(), module.scaling[name]) for name in names
    ]


def exact(model: nn.Module, names: Collection[str]) -> bool:
    """Say whether every wrapped layer of a model is plain LoRA on a layer with one of these names."""
    for name, module in model.named_modules():
        if is_adapted(module) and not (name.rsplit(".", 1)[-1] in names and _is_plain(module)):
            return False
    return True


def _is_plain(module: Any) -> bool:
    if (type(module).__module__, type(module).__name__) != PLAIN:
        return False
    return not (module.disable_adapters or module.merged_adapters or module.lora_variant or _has_bias(module))


def _has_bias(module: Any) -> bool:
    """Say whether an adapter of a layer adds a bias of its own, which is not read here."""
    return any(layer.bias is not None for layer in module.lora_B.values())


def added(found: Tensor, x: Tensor, adapters: Sequence[Sequence[Adapter]], widths: Sequence[int]) -> Tensor:
    """Return found + scaling (x A) B of layers that read the same states: [N, E], [N, D] -> [N, E].

    adapters: those of each layer; widths: the columns of `found` that it gives. Computed in the dtype of `found`.
    """
    parts = []
    for part, own in zip(found.split(list(widths), dim=1), adapters, strict=True):
        total = part
        for adapter in own:
            inner = products.affine(x, adapter.down, None, found.dtype)  # [N, r]
            total = total + products.affine(inner, adapter.up, None, found.dtype) * adapter.scaling
        parts.append(total)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def merged(weight: Tensor, adapters: Sequence[Adapter]) -> Tensor:
    """Return W + scaling A B [D, E] in float32; the weight itself where there is no adapter."""
    if not adapters:
        return weight
    total = weight.float()
    for adapter in adapters:
        total = torch.addmm(total, adapter.down, adapter.up, alpha=adapter.scaling)
    return total
