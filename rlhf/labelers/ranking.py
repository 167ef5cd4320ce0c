"""Who ranks which answers: labelers for the reward model's comparisons, and others, if named, for the judge's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.labelers import chat_model, people, scored, simulated
from rlhf.labelers.answered import Answered, Ranking
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.kinds import (
    AnyLabelers,
    ChatModel,
    FunctionLabeler,
    People,
    RewardModelLabeler,
    Simulated,
    name_of,
)
from rlhf.records.types import Dialogue
from rlhf.runtime import distributed
from rlhf.training.context import StageContext

TRAIN, JUDGE = POOLS = ("train", "judge")  # pools of answered prompts


def can_rank(labelers: AnyLabelers, prompt: Dialogue) -> bool:
    """Return whether these labelers rank answers to a prompt: simulated ones know those with a task."""
    return not isinstance(labelers, Simulated) or "task" in prompt


def files(params: CollectComparisons, root: Path, round_name: str) -> list[Path]:
    """Return what labelers read besides answers: the folders of people's labels of a round."""
    named = (params.labelers, params.judge_labelers)
    return list(dict.fromkeys(one.folder_of(root, round_name) for one in named if isinstance(one, People)))


def rank(
    pools: Mapping[str, Sequence[Answered]], params: CollectComparisons, context: StageContext
) -> dict[str, Ranking]:
    """Return each pool's ranking; what one labeler ranks in several pools is asked together.

    Raises ValueError for answers that nobody is named for, Waiting where people have more to label.
    """
    own = {pool: _ranked_by(pool, answered, params, context) for pool, answered in pools.items()}
    rankings = {pool: Ranking([], {}) for pool in pools}
    waiting = [pool for pool, answered in own.items() if answered]
    _say_where_the_judge_has_the_same(waiting, params, context)
    while waiting:
        labelers, place = params.labelers_of(waiting[0])
        assert labelers is not None  # or _ranked_by has refused
        asked = {pool: own[pool] for pool in waiting if params.labelers_of(pool)[0] == labelers}
        rankings |= _ranked(asked, labelers, f"{context.stage}.{place}", params.scoring_batch_size, context)
        waiting = [pool for pool in waiting if pool not in asked]
    return rankings


def _ranked_by(
    pool: str, answered: Sequence[Answered], params: CollectComparisons, context: StageContext
) -> list[Answered]:
    """Return the answered prompts that the pool's labelers know, and say how many they do not."""
    labelers, place = params.labelers_of(pool)
    if labelers is None and answered:
        raise ValueError(
            f"{context.stage}.{place}: nobody is named who ranks the answers to {len(answered)} prompts; name "
            f"labelers, or set collect_answers.{'max_prompts' if pool == TRAIN else 'max_judge_prompts'} to 0"
        )
    known = [one for one in answered if labelers and can_rank(labelers, one.prompt)]
    if len(known) < len(answered):
        context.run.say(
            f"{len(answered) - len(known)} of the {len(answered)} answered prompts of pool {pool} get no comparisons: "
            "simulated labelers rank answers to prompts of the embedded world alone"
        )
    return known


def _say_where_the_judge_has_the_same(
    waiting: Sequence[str], params: CollectComparisons, context: StageContext
) -> None:
    if len(waiting) == len(POOLS) and params.labelers is not None and params.judges_are_the_same():
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
    if isinstance(labelers, People):
        return people.rank(pools, labelers, place, context)
    if isinstance(labelers, ChatModel):  # of several processes the first one asks
        asked: Any = (
            chat_model.rank(pools, labelers, place, context.root, context.run) if distributed.is_first() else {}
        )
        return distributed.told_by_first(asked)
    scorer = _scorer(labelers, context)
    return {pool: scored.rank(answered, scorer, labelers, batch_size) for pool, answered in pools.items()}


def _scorer(labelers: RewardModelLabeler | FunctionLabeler, context: StageContext) -> Any:
    if isinstance(labelers, FunctionLabeler):
        from rlhf.rewards.functions import FunctionScorer

        return FunctionScorer(labelers.function, context.root)
    from rlhf.rewards import adopted

    return adopted.opened(labelers, context.root, context.runtime)
