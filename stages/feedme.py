"""SFT policy + best-ranked answers → FeedME policy: the cheap rival that PPO must beat (OpenAI's model index, 2022)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.models import loading
from rlhf.params.base import load
from rlhf.params.feedme import Feedme, FeedmeInputs
from rlhf.records import records
from rlhf.records.types import Comparison, Demonstration
from rlhf.runs import launch
from rlhf.training import supervised
from rlhf.training.context import open_stage

STAGE = "feedme"


def main(root: Path = Path(".")) -> None:
    params = load(root, FeedmeInputs)
    policy, source = root / "data/sft", root / "data/collect_comparisons" / params.feedme.round
    train_file, validation_file = source / "comparisons.train.jsonl", source / "comparisons.validation.jsonl"
    inputs = {"training": [train_file, policy], "validation": [validation_file]}
    with open_stage(root, STAGE, params, inputs, begins_from=policy) as context:
        tokenizer = loading.load_tokenizer(policy)
        model = loading.load_causal(
            policy, params.runtime, dropout=params.feedme.dropout, longest=params.feedme.max_tokens
        )
        compared = [records.read(file, Comparison) for file in (train_file, validation_file)]
        training, held_out = (best_responses(comparisons, params.feedme) for comparisons in compared)
        if params.feedme.learn != "first":
            context.run.say(f"of {len(compared[0])} comparisons {len(training)} answers are learned")
        supervised.fit(model, tokenizer, supervised.Demonstrations(training, held_out), params.feedme, context)


def best_responses(comparisons: Sequence[Comparison], params: Feedme) -> list[Demonstration]:
    """Return what is learned of each prompt: the responses of the best mean rank over its labelers, or near it."""
    demonstrations = []
    for comparison in comparisons:
        about: Any = {key: comparison[key] for key in ("id", "messages", "category", "language", "user", "source")}
        for index in learned([label["ranks"] for label in comparison["labels"]], params):
            response = comparison["responses"][index]
            demonstrations.append(Demonstration(kind="demonstration", **about, response=response))
    return demonstrations


def learned(rankings: Sequence[Sequence[int]], params: Feedme) -> list[int]:
    """Return the places of the responses that `params.learn` names, in their order; one ranking a labeler."""
    totals = [sum(ranks) for ranks in zip(*rankings, strict=True)]
    farthest = min(totals) + (params.within_rank or 0) * len(rankings)
    near = [index for index, total in enumerate(totals) if total <= farthest]
    return near[:1] if params.learn == "first" else near


if __name__ == "__main__":
    launch.run(STAGE, main)
