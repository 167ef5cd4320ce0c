"""base model + demonstrations → supervised policy (Ouyang et al. 2022, step 1), loss on the assistant's tokens only."""

from pathlib import Path

from rlhf.models import loading
from rlhf.params.base import load
from rlhf.params.sft import SftInputs
from rlhf.records import records
from rlhf.records.types import Demonstration
from rlhf.runs import launch
from rlhf.tokens import chat
from rlhf.training import supervised
from rlhf.training.context import open_stage

STAGE = "sft"


def main(root: Path = Path(".")) -> None:
    params = load(root, SftInputs)
    base, source = root / "data/pretrain", root / "data/collect_prompts"
    train_file, validation_file = source / "demonstrations.train.jsonl", source / "demonstrations.validation.jsonl"
    inputs = {"training": [train_file, base], "validation": [validation_file]}
    with open_stage(root, STAGE, params, inputs, begins_from=base) as context:
        tokenizer = loading.load_tokenizer(base)
        if tokenizer.chat_template == chat.BASE_TEMPLATE:
            tokenizer.chat_template = chat.FINE_TUNED[params.sft.template]  # from here on the model answers in turns
        model = loading.load_causal(base, params.runtime, params.sft.dropout, params.sft.max_tokens)
        training, held_out = (records.Stored(file, Demonstration) for file in (train_file, validation_file))
        supervised.fit(model, tokenizer, supervised.Demonstrations(training, held_out), params.sft, context)


if __name__ == "__main__":
    launch.run(STAGE, main)
