"""Answers to rank and the labelers who rank them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.labelers.kinds import AnyLabelers, ChatModel, Simulated, name_of
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime

Temperature = Annotated[float, Field(gt=0, le=5)]


class CollectComparisons(Params):
    max_prompts: int = Field(ge=0)  # of prompts.reward_model that get new answers; 0: given comparisons only
    max_judge_prompts: int = Field(ge=0)  # of prompts.judge, see judge_labelers
    prompts: Literal["reward_model", "sft"]  # of which set max_prompts are taken (paper: new ones)
    validation_share: float = Field(gt=0, lt=1)  # of the prompts, whole, kept from reward-model training
    min_responses: int = Field(ge=2, le=9)  # K is drawn uniformly from min..max (Ouyang et al. 2022: 4..9)
    max_responses: int = Field(ge=2, le=9)
    temperatures: list[Temperature] = Field(min_length=1)  # a prompt's answers take them in turn
    max_completion_tokens: int = Field(ge=1)
    max_prompt_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # answers sampled at once
    labelers: AnyLabelers | None  # null: no prompt without given rankings is ranked
    judge_labelers: AnyLabelers | None  # of prompts.judge; null: those of `labelers`, of simulated ones the held-out

    @model_validator(mode="after")
    def _k_is_a_range(self) -> Self:
        if self.min_responses > self.max_responses:
            raise ValueError(f"min_responses {self.min_responses} exceeds max_responses {self.max_responses}")
        return self

    @model_validator(mode="after")
    def _new_answers_have_a_labeler(self) -> Self:
        if self.labelers is None and self.judge_labelers is None and self.max_prompts + self.max_judge_prompts > 0:
            raise ValueError("without labelers nobody ranks new answers: set max_prompts and max_judge_prompts to 0")
        if self.labelers is None and self.max_prompts > 0:
            raise ValueError("without labelers nobody ranks answers for the reward model: set max_prompts to 0")
        return self

    @model_validator(mode="after")
    def _pairs_tie_all_answers_together(self) -> Self:
        for name in ("labelers", "judge_labelers"):
            labelers = getattr(self, name)
            if isinstance(labelers, ChatModel) and labelers.pairs and labelers.pairs < self.max_responses - 1:
                raise ValueError(
                    f"{name}.pairs {labelers.pairs} cannot tie {self.max_responses} answers together: "
                    f"max_responses - 1 pairs can, and as many as max_responses are fair to each answer"
                )
        return self

    def judges_are_the_same(self) -> bool:
        """Return whether one labeler ranks for the reward model and for the judge; held-out simulated ones differ."""
        own, judges = self.labelers, self.judge_labelers or self.labelers
        if own is None or judges is None or isinstance(own, Simulated):
            return False
        return name_of(own) == name_of(judges) and min(self.max_prompts, self.max_judge_prompts) > 0


class CollectComparisonsInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rounds: Rounds
    collect_comparisons: CollectComparisons
