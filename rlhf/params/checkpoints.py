"""How often a training stage keeps a state to go on from. In no stage's DVC params: nothing here changes a byte."""

from pydantic import Field

from rlhf.params.base import Params


class Checkpoints(Params):
    every_seconds: float | None = Field(ge=0)  # between two states; 0: every step; null: none are kept


class CheckpointsInputs(Params):
    checkpoints: Checkpoints
