"""The knobs of one optimiser, shared by every stage that trains."""

from typing import Literal

from pydantic import Field

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
