"""The rates of μP (`scaling`), by groups of an optimiser's weights; params say what they are at the base width.

| | AdamW's rate | its eps | Muon's rate | its decay |
| --- | --- | --- | --- | --- |
| hidden matrices | 1/m | 1/m | 1/√m | 1/√m |
| the last norm | 1/m | 1 | | |
| embeddings, other vectors, heads of rewards and values | 1 | 1/m | | |

AdamW: Yang et al. 2022, table 8; its eps goes as the gradients, which logits divided by m make 1/m as large, but for
those of the weights that do the dividing.

Muon: an update's largest singular value shall go as √(outputs / inputs) (Yang, Simon & Bernstein 2023, "A spectral
condition for feature learning"), which is constant where both grow with the width. That of ours is the rate times
0.2 √(the longer side), and so grows with the root of the width. AdamW's decay, rate times `weight_decay`, falls as 1/m,
which Qiu et al. 2025 ("Hyperparameter transfer enables consistent gains of matrix-preconditioned optimizers across
scales") find best for all optimisers; Muon's two roots make the same.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from rlhf.models.mup import scaling

SHARE = "rate_share"  # of a group: what the rate of params is multiplied by
Group = dict[str, Any]


def split(model: Any, group: Group, learning_rate: float, eps: float) -> Iterator[Group]:
    """Yield a group of AdamW's weights as groups of one rate and eps; as it is in the standard parametrisation."""
    if scaling.base_width(model) is None:
        yield group
        return
    m, kinds = scaling.multiplier(model), scaling.kinds(model)
    for kind in ("hidden", "last_norm", "other"):
        weights = [weight for weight in group["params"] if kinds[weight] == kind]
        if weights:
            share = 1.0 if kind == "other" else 1 / m
            scaled = eps if kind == "last_norm" else eps / m
            yield group | {"params": weights, "lr": learning_rate * share, "eps": scaled, SHARE: share}


def of_muon(model: nn.Module, learning_rate: float, weight_decay: float) -> Group:
    """Return what the group of Muon's weights says in μP; nothing in the standard parametrisation."""
    if scaling.base_width(model) is None:
        return {}
    share = scaling.multiplier(model) ** -0.5
    return {"lr": learning_rate * share, "weight_decay": weight_decay * share, SHARE: share}


def line(model: nn.Module) -> str | None:
    """Return what a stage says of the rates of its model; None in the standard parametrisation."""
    base = scaling.base_width(model)
    if base is None:
        return None
    return (
        f"μP: the model is {scaling.multiplier(model):g} times as wide as its base width of {base}; rates are those at "
        "the base width, and hidden matrices learn at their share of them (docs/models.md)"
    )
