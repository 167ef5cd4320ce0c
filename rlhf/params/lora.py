"""LoRA (Hu et al. 2021): small matrices beside frozen layers are trained in the model's place."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rlhf.params.base import Params

ALL_LINEAR = "all-linear"


def _layers(value: Any) -> Any:
    named = isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)
    if value != ALL_LINEAR and not named:
        raise ValueError(f"expected {ALL_LINEAR}, or a list of layers' names such as [q_proj, v_proj]")
    return value


class Lora(Params):
    rank: int = Field(ge=1, le=4096)
    alpha: float = Field(gt=0)  # what an adapter adds is scaled by alpha / rank
    dropout: float = Field(ge=0, lt=1)  # of what an adapter reads, while it is trained
    target_modules: Annotated[Any, AfterValidator(_layers)]  # the backbone's linear layers, or those with these names
    save: Literal["merged", "adapter"]  # a plain model folder, or what was trained alone
