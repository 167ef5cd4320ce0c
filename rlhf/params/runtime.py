"""Where and how tensors are computed. Tracked by every stage that trains or samples: these values change bytes."""

from typing import Literal

from pydantic import Field

from rlhf.params.base import Params


class Runtime(Params):
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]  # of the forward passes; weights and optimiser state stay float32
    attention: Literal["eager", "sdpa"]
    processes: int = Field(ge=1, le=64)  # of this machine; each holds all weights and computes a share of every batch
    threads: int = Field(ge=1, le=256)  # of each process
    workers: int = Field(ge=1, le=256)  # parts of a batch computed side by side, each on threads / workers threads


class RuntimeInputs(Params):
    """The sections that starting a stage reads."""

    runtime: Runtime
