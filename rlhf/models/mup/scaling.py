"""μP (Yang et al. 2022, "Tensor Programs V"): what is learned a step does not depend on the width, nor the best rates.

m is the width over the width at which rates were chosen (`base_width`); depth and the size of heads stay. Hidden
matrices begin at 1/√m of their usual spread, and logits are divided by m. The rates are in `rates`.

No multiplier is left for a forward pass to know of: any program that reads the folder computes the same.
- Logits are made of what the last norm gives, so that its weight (and bias) begins at 1/m in their place, and learns
  at 1/m of the rate: AdamW's steps do not depend on the scale of what they move, so that this is the same function at
  every step as a multiplier of 1/m. A head of rewards or values reads the same states, and is divided by m with them.
- Attention's 1/d, d being the size of a head, is the usual 1/√d times a constant where all widths have heads of one
  size; more width is more heads.
- Embeddings have none.

config.json keeps `base_width` as `mup_base_width`, for the rates of all that is trained on the model later.
"""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEY = "mup_base_width"
Kind = Literal["hidden", "last_norm", "other"]
OF_ADAPTERS = ".lora_B."  # of a few inputs at every width; A has as many as its layer


def base_width(model: nn.Module) -> int | None:
    """Return the width at which a model's rates were chosen; None of one in the standard parametrisation."""
    return getattr(getattr(model, "config", None), KEY, None)


def multiplier(model: nn.Module) -> float:
    """Return m; 1 of a model in the standard parametrisation."""
    base = base_width(model)
    if base is None:
        return 1.0
    config: Any = model.config
    return config.hidden_size / base


def begin(model: "PreTrainedModel", width: int) -> None:
    """Make of an untrained model one in μP, with this base width: at it nothing changes but what the config says.

    Raises ValueError for a model without a last norm before its head.
    """
    setattr(model.config, KEY, width)
    shares = {"hidden": multiplier(model) ** -0.5, "last_norm": 1 / multiplier(model), "other": 1.0}
    with torch.no_grad():
        for weight, kind in kinds(model).items():
            weight.mul_(shares[kind])


def kinds(model: "PreTrainedModel") -> dict[nn.Parameter, Kind]:
    """Return what each weight is: a hidden matrix, whose inputs grow in number with the width; of the last norm; or
    another, whose inputs do not (embeddings, vectors) or which reads states that are divided by m already (heads).
    """
    backbone = model.base_model
    embeddings = {module.weight for module in backbone.modules() if isinstance(module, nn.Embedding)}
    found: dict[nn.Parameter, Kind] = dict.fromkeys(model.parameters(), "other")
    for name, weight in backbone.named_parameters():
        if weight.ndim == 2 and weight not in embeddings and OF_ADAPTERS not in f".{name}":
            found[weight] = "hidden"
    last: dict[nn.Parameter, Kind] = dict.fromkeys(_last_norm(backbone).parameters(), "last_norm")
    return found | last


def _last_norm(backbone: nn.Module) -> nn.Module:
    """Return the norm behind the last layer: `norm` of Llama-shaped models, `ln_f` of GPT-2's and GPT-Neo's."""
    for name in ("norm", "ln_f"):
        found = getattr(backbone, name, None)
        if isinstance(found, nn.Module):
            return found
    raise ValueError(f"{type(backbone).__name__} has no norm between its layers and its head, which μP needs")
