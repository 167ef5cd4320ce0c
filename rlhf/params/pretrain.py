"""The base model: trained from scratch, or adopted from a local folder or a hub id."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.optimisation import Optimisation
from rlhf.params.runtime import Runtime


class Pretrain(Params):
    source: Literal["scratch", "local", "hub"]
    path: str | None  # a local folder, or a hub id such as Qwen/Qwen3-0.6B-Base; null for scratch
    revision: str | None  # of the hub id; null for its newest
    shape: str  # named in rlhf/models/shapes.py; read for scratch only
    vocab_size: int = Field(ge=280, le=1_000_000)  # 256 bytes, the markers and at least some merges
    previous_token_heads: int = Field(ge=0)  # of the first layer, given at the start; see rlhf/models/initialisation.py
    copying_steps: int = Field(ge=0)  # first updates, on random tokens that repeat
    tokens: int = Field(ge=1)  # of training, repeated documents counted again
    sequence_tokens: int = Field(ge=8)
    batch_size: int = Field(ge=1)  # sequences an update
    validation_tokens: int = Field(ge=8)  # read at most, for the loss on held-out documents
    muon_momentum: float | None = Field(ge=0, lt=1)  # of Muon on hidden matrices; null: AdamW throughout
    optimisation: Optimisation

    @model_validator(mode="after")
    def _path_fits_source(self) -> Self:
        if (self.path is None) != (self.source == "scratch"):
            raise ValueError(f"path must be null for source 'scratch' and given otherwise; source is '{self.source}'")
        return self


class PretrainInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    pretrain: Pretrain


def inputs(params: Pretrain) -> list[Path]:
    """Return the local paths that must exist before anything starts."""
    return [Path(params.path)] if params.source == "local" and params.path else []
