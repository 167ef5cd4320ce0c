"""The rounds of the flywheel: each samples from one policy and adds its comparisons to those of an earlier round."""

from pydantic import Field

from rlhf.params.base import Name, Params


class Round(Params):
    policy: str = Field(pattern=r"^(sft|ppo/.+)$")  # folder below data/ whose answers are ranked
    earlier: str = Field(pattern=r"^(collect_prompts|collect_comparisons/.+)$")  # folder whose comparisons go on


Rounds = dict[Name, Round]


class RoundsInputs(Params):
    """What starting a stage of a round reads."""

    rounds: Rounds
