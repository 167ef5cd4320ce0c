"""DPO: a policy that learns from the comparisons themselves, without a reward model (Rafailov et al. 2023)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.optimisation import Lora, Optimisation
from rlhf.params.runtime import Runtime


class Dpo(Params):
    train: bool  # false: none is trained, and `evaluate` leaves it out
    round: str  # whose comparisons are learned
    beta: float = Field(gt=0)  # of the implicit reward beta * (log pi - log pi_SFT); small lets the policy go far
    epochs: int = Field(ge=1, le=100)
    batch_size: int = Field(ge=1)  # prompts an update, each with all its answers and pairs
    micro_batch_rows: int = Field(ge=2)  # answers a forward pass (a prompt's answers stay together)
    max_tokens: int = Field(ge=8)  # of prompt and answer
    too_long: Literal["leave_out", "cut"] | None  # comparisons with longer rows; null: left out; cut: oldest tokens go
    max_comparisons: int | None = Field(ge=1)  # the first of the training comparisons; null = all
    select: Literal["best_validation", "last"]  # which epoch's weights are kept
    lora: Lora | None  # null: all weights are trained
    optimisation: Optimisation

    @property
    def loss(self) -> Literal["rank"]:
        """How labelers' judgements are read: as ranks, of which pairs are made."""
        return "rank"

    @model_validator(mode="after")
    def _adapters_fit(self) -> Self:
        if self.lora is not None and self.lora.dropout > 0:
            raise ValueError("lora.dropout must be 0: DPO compares log-probabilities of one function")
        return self


class DpoInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    dpo: Dpo
