"""The policy's weights as an engine takes them: under the names of the plain model, adapters added to their layers."""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from rlhf.lora import attaching
from rlhf.models import whole_weights

OF_LAYER = re.compile(rf"(?P<layer>.+)\.(?P<part>base_layer|lora_A\.{attaching.NAME}|lora_B\.{attaching.NAME})\.weight")


def published(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each weight of a policy once. A layer with an adapter is W + scaling B A, in float32 as `attaching.merge`
    makes it; such a layer's three weights follow one another, so that one layer at a time is held twice.
    """
    layers: dict[str, Any] = dict(attaching.adapters(model))
    waiting: dict[str, dict[str, Tensor]] = {}
    for name, weight in whole_weights.named(model):
        found = OF_LAYER.fullmatch(name)
        if found is None or found["layer"] not in layers:
            yield name.replace(".base_layer.", "."), weight
            continue
        layer = found["layer"]
        parts = waiting.setdefault(layer, {})
        parts[found["part"]] = weight
        if len(parts) == 3:
            yield f"{layer}.weight", _merged(layers[layer], waiting.pop(layer))
    if waiting:
        raise ValueError(f"{', '.join(waiting)}: an adapter without all of its weights")


def _merged(layer: Any, parts: dict[str, Tensor]) -> Tensor:
    base, down, up = (parts[name] for name in ("base_layer", f"lora_A.{attaching.NAME}", f"lora_B.{attaching.NAME}"))
    delta = up @ down
    turned = delta.T if layer.fan_in_fan_out else delta
    return base.float() + (turned * layer.scaling[attaching.NAME]).float()
