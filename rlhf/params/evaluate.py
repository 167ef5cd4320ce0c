"""What evaluate measures: how many prompts, which decodings, what counts as a tie, how intervals are drawn."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.rewards import Rewards
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime

Temperature = Annotated[float, Field(ge=0, le=2)]
Count = Annotated[int, Field(ge=1, le=1024)]


class BestOfN(Params):
    """SFT answers among which the last round's reward model picks."""

    compare: list[Count] = Field(min_length=1)  # n of the policies that PPO is compared with, on all test prompts
    curve: list[Count] = Field(min_length=1)  # n of the reward curve
    curve_draws: int = Field(ge=1, le=1024)  # answers a prompt for the curve (N of the unbiased estimator)
    curve_prompts: int = Field(ge=1)  # test prompts of the curve

    @model_validator(mode="after")
    def _enough_draws(self) -> Self:
        if max(self.curve) > self.curve_draws:
            raise ValueError(f"curve_draws must be at least the largest n of curve ({max(self.curve)})")
        return self


class TieThreshold(Params):
    """Score differences below which two answers tie."""

    gold: float = Field(ge=0, le=1)  # gold scores lie in [0, 1]
    judge: float = Field(ge=0)  # in units of the judge's (or reward model's) score


class Evaluate(Params):
    test_prompts: int = Field(ge=1)
    sampled_draws: int = Field(ge=1, le=64)  # answers a prompt behind each sampled figure
    validation_prompts: int = Field(ge=1)
    document_tokens: int = Field(ge=16)  # of held-out pretraining text
    sequence_tokens: int = Field(ge=8)  # of one piece of it
    max_prompt_tokens: int = Field(ge=1)
    max_completion_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    scoring_batch_size: int = Field(ge=1)
    temperatures: list[Temperature] = Field(min_length=1)
    best_of_n: BestOfN
    tie_threshold: TieThreshold
    bootstrap_samples: int = Field(ge=100)
    coverage: float = Field(gt=0.5, lt=1)
    sample_prompts: int = Field(ge=1)

    @model_validator(mode="after")
    def _sweep_holds_plain_sampling(self) -> Self:
        if 1.0 not in self.temperatures:
            raise ValueError("temperatures must contain 1.0, with which the others are compared")
        return self


class EvaluateInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rounds: Rounds
    rewards: Rewards
    evaluate: Evaluate
