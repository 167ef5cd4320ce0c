"""SFT policy + best-ranked answers → FeedME policy: the cheap rival that PPO must beat (OpenAI's model index, 2022)."""

from pathlib import Path

from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.feedme import FeedmeInputs
from rlhf.records import records
from rlhf.runs import checkpoints, launch, tracking
from rlhf.runtime import failures, outputs
from rlhf.training import supervised_stage

STAGE = "feedme"


def main(root: Path = Path(".")) -> None:
    params = load(root, FeedmeInputs)
    placement.prepare(params.runtime, params.seed)
    policy, source = root / "data/sft", root / "data/collect_comparisons" / params.feedme.round
    train_file, validation_file = source / "comparisons.train.jsonl", source / "comparisons.validation.jsonl"
    states = checkpoints.opened(root, STAGE, params, [train_file, validation_file, policy])
    with failures.explained(STAGE, policy), tracking.stage_run(root, STAGE, states=states) as run:
        run.log_inputs([train_file, policy], context="training")
        run.log_inputs([validation_file], context="validation")
        model = loading.load_causal(policy, params.runtime, dropout=params.feedme.dropout)
        metrics = supervised_stage.fit(
            root,
            STAGE,
            model,
            loading.load_tokenizer(policy),
            best_answers(records.read(train_file)),
            best_answers(records.read(validation_file)),
            params.feedme,
            params.runtime,
            params.seed,
            states,
            run,
        )
        outputs.write_metrics(root, STAGE, metrics)
        run.log_metrics(metrics)
        run.log_checkpoint(root / "data" / STAGE)


def best_answers(comparisons: list[dict]) -> list[dict]:
    """Return one demonstration a prompt: the answer with the best mean rank over its labelers; the first of equals."""
    demonstrations = []
    for comparison in comparisons:
        labels = comparison["labels"]
        totals = [sum(label["ranks"][index] for label in labels) for index in range(len(comparison["responses"]))]
        best = comparison["responses"][totals.index(min(totals))]
        demonstrations.append({"id": comparison["id"], "messages": comparison["messages"], "response": best})
    return demonstrations


if __name__ == "__main__":
    launch.run(STAGE, main)
