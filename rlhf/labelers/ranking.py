"""Who ranks which answers: labelers for the reward model's comparisons, and others, if named, for the judge's."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.labelers import chat_model, scored, simulated
from rlhf.labelers.answered import Answered, Ranking
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.kinds import AnyLabelers, ChatModel, FunctionLabeler, RewardModelLabeler, Simulated, name_of
from rlhf.records.types import Dialogue
from rlhf.runtime import distributed
from rlhf.training.context import StageContext

TRAIN, JUDGE = "train", "judge"  # the pools of prompts
PLACES = {TRAIN: "labelers", JUDGE: "judge_labelers"}


def of_pool(pool: str, params: CollectComparisons) -> tuple[AnyLabelers | None, str]:
    """Return who ranks a pool's answers, and the key that names them."""
    own = pool == JUDGE and params.judge_labelers is not None
    return (params.judge_labelers, PLACES[JUDGE]) if own else (params.labelers, PLACES[TRAIN])


def can_rank(labelers: AnyLabelers, prompt: Dialogue) -> bool:
    """Return whether these labelers rank answers to a prompt: simulated ones know those with a task."""
    return not isinstance(labelers, Simulated) or "task" in prompt


def rank(
    pools: Mapping[str, Sequence[Answered]], params: CollectComparisons, context: StageContext
) -> dict[str, Ranking]:
    """Return each pool's ranking; what one labeler ranks in several pools is asked together."""
    rankings = {pool: Ranking([], {}) for pool in pools}
    waiting = [pool for pool, answered in pools.items() if answered]
    _say_where_the_judge_has_the_same(waiting, params, context)
    while waiting:
        labelers, place = of_pool(waiting[0], params)
        assert labelers is not None  # nobody's pools are empty
        own = {pool: pools[pool] for pool in waiting if of_pool(pool, params)[0] == labelers}
        rankings |= _ranked(own, labelers, f"{context.stage}.{place}", params.batch_size, context)
        waiting = [pool for pool in waiting if pool not in own]
    return rankings


def _say_where_the_judge_has_the_same(
    waiting: Sequence[str], params: CollectComparisons, context: StageContext
) -> None:
    if len(waiting) == len(PLACES) and params.labelers is not None and params.judges_are_the_same():
        context.run.say(
            f"{name_of(params.labelers)} ranks for the reward model and for the judge, which so learns the same taste, "
            f"and sees no harm in a policy that follows it too far; {context.stage}.judge_labelers can name another"
        )


def _ranked(
    pools: Mapping[str, Sequence[Answered]], labelers: AnyLabelers, place: str, batch_size: int, context: StageContext
) -> dict[str, Ranking]:
    if isinstance(labelers, Simulated):
        return {
            pool: simulated.rank(answered, labelers, context.seed, held_out=pool == JUDGE)
            for pool, answered in pools.items()
        }
    if isinstance(labelers, ChatModel):  # of several processes the first one asks
        asked: Any = (
            chat_model.rank(pools, labelers, place, context.root, context.run) if distributed.is_first() else {}
        )
        return distributed.gathered(asked)[0]
    scorer = _scorer(labelers, context)
    return {pool: scored.rank(answered, scorer, labelers, batch_size) for pool, answered in pools.items()}


def _scorer(labelers: RewardModelLabeler | FunctionLabeler, context: StageContext) -> Any:
    if isinstance(labelers, FunctionLabeler):
        from rlhf.rewards.functions import FunctionScorer

        return FunctionScorer(labelers.function, context.root)
    from rlhf.rewards import adopted

    return adopted.opened(labelers, context.root, context.runtime)
