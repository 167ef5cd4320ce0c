"""Rejection sampling: supervised fine-tuning on the answer of SFT, among several to a prompt, that the reward picks."""

from pydantic import Field

from rlhf.params.base import Params
from rlhf.params.rewards import Rewards
from rlhf.params.runtime import Runtime
from rlhf.params.training.supervised import Supervised


class Rejection(Supervised):
    train: bool  # false: none is trained, and `evaluate` leaves it out
    round: str  # whose reward model picks
    n: int = Field(ge=2, le=1024)  # answers to a prompt, of which one is learned
    temperature: float = Field(gt=0, le=5)  # of the answers
    max_prompts: int | None = Field(ge=2)  # the first of prompts.ppo; null: all
    max_prompt_tokens: int = Field(ge=1)  # longer prompts are left out and counted
    max_completion_tokens: int = Field(ge=1)  # answers that do not end within them are never picked
    sampling_batch_size: int = Field(ge=1)  # answers sampled at once
    scoring_batch_size: int = Field(ge=1)  # answers scored at once
    validation_share: float = Field(gt=0, lt=1)  # of the prompts, whose picked answers are held out


class RejectionInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rewards: Rewards
    rejection: Rejection
