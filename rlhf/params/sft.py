"""Supervised fine-tuning of the base model on demonstrations."""

from typing import Literal

from pydantic import Field

from rlhf.params.base import Params
from rlhf.params.runtime import Runtime
from rlhf.params.training.supervised import Supervised


class Sft(Supervised):
    template: Literal["plain", "markers"]  # of dialogues, for a base that brings no chat template of its own


class SftInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    sft: Sft
