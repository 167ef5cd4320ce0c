"""FeedME: supervised fine-tuning on the answers that labelers ranked best."""

from pydantic import Field

from stages.params.base import Params
from stages.params.runtime import Runtime
from stages.params.supervised import Supervised


class Feedme(Supervised):
    round: str  # whose comparisons' best answers are learned


class FeedmeInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    feedme: Feedme
