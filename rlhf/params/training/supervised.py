"""Supervised fine-tuning on demonstrations, as the stages `sft`, `feedme` and `rejection` share it."""

from typing import Literal

from pydantic import Field

from rlhf.params.base import Params
from rlhf.params.optimisation import Lora, Optimisation


class Supervised(Params):
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1)  # demonstrations an update
    micro_batch_rows: int = Field(ge=1)  # rows a forward pass; changes memory, not the gradient
    max_tokens: int = Field(ge=8)  # of prompt and response; longer demonstrations are left out and counted
    packing: bool  # several demonstrations a row, blind to one another
    dropout: float = Field(ge=0, lt=1)  # residual dropout (Ouyang et al. 2022: 0.2)
    lm_coef: float = Field(ge=0)  # weight of the loss on all tokens, prompts too (Radford et al. 2018: 0.5); 0 = off
    select: Literal["best_validation", "last"]  # which epoch's weights are kept
    lora: Lora | None  # null: all weights are trained
    optimisation: Optimisation
