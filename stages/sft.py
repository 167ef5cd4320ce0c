"""base model + demonstrations → supervised policy (Ouyang et al. 2022, step 1), loss on the assistant's tokens only."""

from pathlib import Path

from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.sft import SftInputs
from rlhf.records import records
from rlhf.runs import checkpoints, launch, tracking
from rlhf.runtime import failures, outputs
from rlhf.tokens import chat
from rlhf.training import supervised_stage

STAGE = "sft"


def main(root: Path = Path(".")) -> None:
    params = load(root, SftInputs)
    placement.prepare(params.runtime, params.seed)
    base, source = root / "data/pretrain", root / "data/collect_prompts"
    train_file, validation_file = source / "demonstrations.train.jsonl", source / "demonstrations.validation.jsonl"
    states = checkpoints.opened(root, STAGE, params, [train_file, validation_file, base])
    with failures.explained(STAGE, base), tracking.stage_run(root, STAGE, states=states) as run:
        run.log_inputs([train_file, base], context="training")
        run.log_inputs([validation_file], context="validation")
        tokenizer = loading.load_tokenizer(base)
        if tokenizer.chat_template == chat.BASE_TEMPLATE:
            tokenizer.chat_template = chat.FINE_TUNED[params.sft.template]  # from here on the model answers in turns
        model = loading.load_causal(base, params.runtime, dropout=params.sft.dropout)
        metrics = supervised_stage.fit(
            root,
            STAGE,
            model,
            tokenizer,
            records.read(train_file),
            records.read(validation_file),
            params.sft,
            params.runtime,
            params.seed,
            states,
            run,
        )
        outputs.write_metrics(root, STAGE, metrics)
        run.log_metrics(metrics)
        run.log_checkpoint(root / "data" / STAGE)


if __name__ == "__main__":
    launch.run(STAGE, main)
