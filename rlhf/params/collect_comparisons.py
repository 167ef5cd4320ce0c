"""The labelers who rank a policy's answers, and how comparisons are parted."""

from pydantic import Field

from rlhf.params.base import Params
from rlhf.params.labelers.kinds import AnyLabelers, Simulated, name_of
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime


class CollectComparisons(Params):
    validation_share: float = Field(gt=0, lt=1)  # of the prompts, whole, kept from reward-model training
    scoring_batch_size: int = Field(ge=1)  # answers that an adopted reward model or a function scores at once
    labelers: AnyLabelers | None  # null: no prompt without given rankings is ranked
    judge_labelers: AnyLabelers | None  # of prompts.judge; null: those of `labelers`, of simulated ones the held-out

    def labelers_of(self, pool: str) -> tuple[AnyLabelers | None, str]:
        """Return who ranks the answers of a pool ("train", "judge"), and the key that names them."""
        if pool == "judge" and self.judge_labelers is not None:
            return self.judge_labelers, "judge_labelers"
        return self.labelers, "labelers"

    def judges_are_the_same(self) -> bool:
        """Return whether who ranks for the reward model ranks for the judge too; held-out simulated ones differ."""
        own, judges = self.labelers, self.judge_labelers or self.labelers
        if own is None or judges is None or isinstance(own, Simulated):
            return False
        return name_of(own) == name_of(judges)


class CollectComparisonsInputs(Params):
    seed: int = Field(ge=0)
    runtime: Runtime
    rounds: Rounds
    collect_comparisons: CollectComparisons
