"""FeedME: supervised fine-tuning on the answers that labelers ranked best."""

from pydantic import Field

from rlhf.params.base import Params
from rlhf.params.runtime import Runtime
from rlhf.params.training.supervised import Supervised


class Feedme(Supervised):
    round: str  # whose comparisons' best answers are learned


class FeedmeInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    feedme: Feedme
