"""The knobs of one optimiser, and of LoRA (Hu et al. 2021), shared by every stage that trains."""

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field

from rlhf.params.base import Params


class Optimisation(Params):
    learning_rate: float = Field(gt=0, le=1)
    schedule: Literal["constant", "linear", "cosine"]
    warmup_steps: int = Field(ge=0)
    warmup_start: float = Field(ge=0, lt=1)  # share of learning_rate at the first update
    final_share: float = Field(ge=0, le=1)  # share of learning_rate at the last update
    adam_beta1: float = Field(ge=0, lt=1)
    adam_beta2: float = Field(ge=0, lt=1)
    adam_eps: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    optimiser: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] | None  # null: adamw; the others by bitsandbytes


ALL_LINEAR = "all-linear"


def _layers(value: Any) -> Any:
    names = cast(list[object], value) if isinstance(value, list) else []
    named = bool(names) and all(isinstance(name, str) and name for name in names)
    if value != ALL_LINEAR and not named:
        raise ValueError(f"expected {ALL_LINEAR}, or a list of layers' names such as [q_proj, v_proj]")
    return cast(Any, value)


class Lora(Params):
    """Small matrices beside frozen layers, trained in the model's place."""

    rank: int = Field(ge=1, le=4096)
    alpha: float = Field(gt=0)  # what an adapter adds is scaled by alpha / rank
    dropout: float = Field(ge=0, lt=1)  # of what an adapter reads, while it is trained
    target_modules: Annotated[Any, AfterValidator(_layers)]  # the backbone's linear layers, or those with these names
    save: Literal["merged", "adapter"]  # a plain model folder, or what was trained alone
