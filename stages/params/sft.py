"""Supervised fine-tuning of the base model on demonstrations."""

from pydantic import Field

from stages.params.base import Params
from stages.params.runtime import Runtime
from stages.params.supervised import Supervised


class SftInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    sft: Supervised
