"""SFT policy + best-ranked answers → FeedME policy: the cheap rival that PPO must beat (OpenAI's model index, 2022)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.models import loading
from rlhf.params.base import load
from rlhf.params.feedme import FeedmeInputs
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
        training = best_responses(records.read(train_file, Comparison))
        held_out = best_responses(records.read(validation_file, Comparison))
        supervised.fit(model, tokenizer, training, held_out, params.feedme, context)


def best_responses(comparisons: Sequence[Comparison]) -> list[Demonstration]:
    """Return one demonstration a prompt: the response of the best mean rank over its labelers; the first of equals."""
    demonstrations = []
    for comparison in comparisons:
        labels = comparison["labels"]
        totals = [sum(label["ranks"][index] for label in labels) for index in range(len(comparison["responses"]))]
        best = comparison["responses"][totals.index(min(totals))]
        about: Any = {key: comparison[key] for key in ("id", "messages", "category", "language", "user", "source")}
        demonstrations.append(Demonstration(kind="demonstration", **about, response=best))
    return demonstrations


if __name__ == "__main__":
    launch.run(STAGE, main)
