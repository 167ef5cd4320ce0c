"""FeedME: supervised fine-tuning on the answers that labelers ranked best."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rlhf.params.base import Params
from rlhf.params.runtime import Runtime
from rlhf.params.training.supervised import Supervised


class Feedme(Supervised):
    round: str  # whose comparisons' best answers are learned
    learn: Literal["first", "all_best", "within"]  # of the best mean rank; or also those near it
    within_rank: float | None = Field(gt=0)  # of learn 'within': how far a mean rank may lie from the best; null else

    @model_validator(mode="after")
    def _within_has_a_distance(self) -> Self:
        if (self.learn == "within") != (self.within_rank is not None):
            raise ValueError(
                f"within_rank must be given for learn 'within' and null otherwise; learn is '{self.learn}'"
            )
        return self


class FeedmeInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    feedme: Feedme
