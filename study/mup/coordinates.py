"""The coordinate check (Yang et al. 2022, appendix D): how the sizes of a model's activations grow with its width.

After a few updates at a large rate, the mean |activation| of every layer is the same at every width in μP, up to
chance; in the standard parametrisation some grow with it. The slope of its logarithm against that of the width is 0
where a size does not change, 1 where it doubles as the width does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST = 0.05  # slope of what counts as not growing


def sizes(model: Any, ids: Tensor) -> dict[str, float]:
    """Return the mean |activation| of each part of a causal model on rows of tokens [B, T]."""
    found: dict[str, float] = {}

    def keeping(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _given: Any, output: Any) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).abs().mean().item()

        return keep

    hooks = [part.register_forward_hook(keeping(name)) for name, part in _parts(model)]
    try:
        with torch.no_grad():
            found["logits"] = model(input_ids=ids, use_cache=False).logits.abs().mean().item()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _parts(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Yield what is looked at: Llama-shaped models and GPT-2's and GPT-Neo's call it differently."""
    base = model.base_model
    yield "embeddings", model.get_input_embeddings()
    for number, layer in enumerate(getattr(base, "layers", None) or base.h, start=1):
        attention = getattr(layer, "self_attn", None)
        yield f"attention {number}", layer.attn if attention is None else attention
        yield f"MLP {number}", layer.mlp
        yield f"states {number}", layer


def slope(by_width: Mapping[int, float]) -> float:
    """Return the slope of the straight line of least squares through log(size) over log(width)."""
    return float(np.polyfit(np.log([*by_width]), np.log([*by_width.values()]), 1)[0])


def slopes(measured: Mapping[int, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Return each part's slope; `measured`: what `sizes` found by width, in several trainings: their geometric mean."""
    names = next(iter(measured.values()))[0]
    return {name: slope({width: _typical(ones, name) for width, ones in measured.items()}) for name in names}


def _typical(ones: Sequence[Mapping[str, float]], name: str) -> float:
    """Return the geometric mean of a part's sizes."""
    return math.exp(fmean(math.log(one[name]) for one in ones))


def growing(found: Mapping[str, float]) -> list[str]:
    """Return the parts whose sizes grow with the width."""
    return [name for name, one in found.items() if one >= MOST]


def trained(model: Any, points: Iterator[Any], updates: int, ids: Tensor) -> dict[str, float]:
    """Return the sizes in a model after so many updates of a training's points."""
    for _ in islice(points, updates):
        pass
    model.eval()
    return sizes(model, ids)
