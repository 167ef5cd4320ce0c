"""Answers that a round's policy gives, for labelers to rank."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime

Temperature = Annotated[float, Field(gt=0, le=5)]


class CollectAnswers(Params):
    max_prompts: int = Field(ge=0)  # of prompts.reward_model that get answers; 0: given comparisons only
    max_judge_prompts: int = Field(ge=0)  # of prompts.judge, see collect_comparisons.judge_labelers
    prompts: Literal["reward_model", "sft"]  # of which set max_prompts are taken (paper: new ones)
    prompts_with: Literal["task", "any"]  # task: those that simulated labelers can rank
    min_responses: int = Field(ge=2, le=9)  # K is drawn uniformly from min..max (Ouyang et al. 2022: 4..9)
    max_responses: int = Field(ge=2, le=9)
    temperatures: list[Temperature] = Field(min_length=1)  # a prompt's answers take them in turn
    max_completion_tokens: int = Field(ge=1)
    max_prompt_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # answers sampled at once

    @model_validator(mode="after")
    def _k_is_a_range(self) -> Self:
        if self.min_responses > self.max_responses:
            raise ValueError(f"min_responses {self.min_responses} exceeds max_responses {self.max_responses}")
        return self


class CollectAnswersInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rounds: Rounds
    collect_answers: CollectAnswers
