"""Where and how tensors are computed. Tracked by every stage that trains or samples: these values change bytes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params


class Runtime(Params):
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]  # of the forward passes; weights and optimiser state stay float32
    attention: Literal["eager", "sdpa"]
    processes: int = Field(ge=1, le=64)  # of this machine; each computes a share of every batch
    threads: int = Field(ge=1, le=256)  # of each process
    workers: int = Field(ge=1, le=256)  # parts of a batch computed side by side, each on threads / workers threads
    frozen_dtype: Literal["float32", "bfloat16"] | None  # weights of models that are only read; null: float32
    gradient_checkpointing: bool | None  # a layer's activations are computed again for the gradient; null: kept
    sharding: Literal["fsdp2"] | None  # weights, gradients, moments in shards among processes; null: each holds all

    @model_validator(mode="after")
    def _one_worker_in_shards(self) -> Self:
        if self.sharding is not None and self.workers > 1:
            raise ValueError(
                f"sharding '{self.sharding}' needs workers 1: side by side they would gather weights in another order "
                "in each process, and wait for one another for ever"
            )
        return self

    @model_validator(mode="after")
    def _products_are_as_low(self) -> Self:
        if self.frozen_dtype == "bfloat16" and self.dtype != "bfloat16":
            raise ValueError("frozen_dtype 'bfloat16' needs dtype 'bfloat16': products would be computed in float32")
        return self


class RuntimeInputs(Params):
    """The sections that starting a stage reads."""

    runtime: Runtime
