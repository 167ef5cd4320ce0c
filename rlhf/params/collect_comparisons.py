"""Answers to rank and the labelers who rank them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime

Temperature = Annotated[float, Field(gt=0, le=5)]


class Span(Params):
    """A range that personal values are drawn from, evenly."""

    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} exceeds high {self.high}")
        return self


class Labelers(Params):
    """Simulated labelers (for prompts that carry a task of the embedded world)."""

    num_training: int = Field(ge=1, le=100)
    num_held_out: int = Field(ge=1, le=100)
    noise: float = Field(ge=0)  # standard deviation added to a labeler's utility (gold's unit, 0..1)
    tie_threshold: float = Field(ge=0)  # utilities closer than this are a tie
    weight_spread: float = Field(ge=0, lt=1)  # personal factors on gold's criteria are drawn from 1 -+ this
    length_bias: Span  # taste for long answers
    politeness_bias: Span
    strictness: Span  # lowers a labeler's scores, not the ranking
    overlap_share: float = Field(ge=0, le=1)  # share of prompts ranked by several labelers, to measure agreement
    overlap_labelers: int = Field(ge=2, le=100)  # of each of these prompts; all of a group that has fewer


class CollectComparisons(Params):
    max_prompts: int = Field(ge=0)  # of prompts.reward_model that get new answers; 0: given comparisons only
    max_judge_prompts: int = Field(ge=0)  # of prompts.judge, ranked by held-out labelers
    prompts: Literal["reward_model", "sft"]  # of which set max_prompts are taken (paper: new ones)
    validation_share: float = Field(gt=0, lt=1)  # of the prompts, whole, kept from reward-model training
    min_responses: int = Field(ge=2, le=9)  # K is drawn uniformly from min..max (Ouyang et al. 2022: 4..9)
    max_responses: int = Field(ge=2, le=9)
    temperatures: list[Temperature] = Field(min_length=1)  # a prompt's answers take them in turn
    max_completion_tokens: int = Field(ge=1)
    max_prompt_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # answers sampled at once
    labelers: Labelers | None  # null: no prompt without given rankings is ranked

    @model_validator(mode="after")
    def _k_is_a_range(self) -> Self:
        if self.min_responses > self.max_responses:
            raise ValueError(f"min_responses {self.min_responses} exceeds max_responses {self.max_responses}")
        if self.labelers is None and self.max_prompts + self.max_judge_prompts > 0:
            raise ValueError("without labelers nobody ranks new answers: set max_prompts and max_judge_prompts to 0")
        return self


class CollectComparisonsInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rounds: Rounds
    collect_comparisons: CollectComparisons
