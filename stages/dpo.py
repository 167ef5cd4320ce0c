"""SFT policy + ranked answers → DPO policy: the comparisons teach it, without a reward model (Rafailov et al. 2023)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.dpo import objective
from rlhf.dpo.objective import Example
from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.runtime import Runtime
from rlhf.params.training.dpo import Dpo, DpoInputs
from rlhf.preferences import preference_training
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runs import checkpoints, launch
from rlhf.runtime import outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.tokens import chat
from rlhf.training import epochs, left_out
from rlhf.training.context import StageContext, open_stage
from rlhf.training.epochs import Learning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "dpo"
SHOWN = ("loss", "accuracy")


class Data(NamedTuple):
    training: list[Example]
    validation: list[Example]


def main(root: Path = Path(".")) -> None:
    params = load(root, DpoInputs)
    section, policy = params.dpo, root / "data/sft"
    source = root / "data/collect_comparisons" / section.round
    files = [source / f"comparisons.{name}.jsonl" for name in ("train", "validation")]
    inputs = {"training": [files[0], policy], "validation": [files[1]]}
    with open_stage(root, STAGE, params, inputs, begins_from=policy) as context:
        if not section.train:
            left_out.write(context, {"training_prompts": 0})
            return
        tokenizer = loading.load_tokenizer(policy)
        model = loading.load_causal(policy, params.runtime, longest=section.max_tokens, kinds=objective.ROWS)
        compared = [records.read(file, Comparison) for file in files]
        data, counts = read(model, tokenizer, compared, section, context)
        if section.lora is not None:
            seed = seeds.derive(context.seed, "lora")
            loading.attach(model, section.lora, seed, section.max_tokens, context.run.say)
        points = train(model, data, section, params.runtime, context.seed, context.states)
        curve = list(context.followed(points, epochs.count_steps(len(data.training), section), SHOWN))
        with new_folder(context.out) as folder:
            loading.save(model, tokenizer, folder, section.lora, policy)
        outputs.write_curve(root, context.name, outputs.thinned(curve))
        context.conclude(epochs.kept(curve, section) | counts)


def read(
    model: "PreTrainedModel",
    tokenizer: Any,
    compared: Sequence[Sequence[Comparison]],
    params: Dpo,
    context: StageContext,
) -> tuple[Data, dict[str, int]]:
    """Return the training and the held-out comparisons, read as a reward model reads them, and counts of the former.

    Raises ValueError where labelers ranked no two answers apart in one of the two.
    """
    training, held_out = compared[0][: params.max_comparisons], compared[1]
    encoded, measured = (preference_training.encode(tokenizer, some, params) for some in (training, held_out))
    if encoded.num_too_long:
        context.run.say(encoded.in_words(params))
    texts = [chat.texts_of(record["messages"], *record["responses"]) for record in [*training, *held_out]]
    typed = context.typed_markers(tokenizer, texts)
    typed |= context.changed_turns(tokenizer, (record["messages"] for record in [*training, *held_out]))
    groups = [objective.with_reference(model, one.groups, params, context.runtime) for one in (encoded, measured)]
    too_long = 0 if params.too_long == "cut" else encoded.num_too_long
    counts = {
        "training_prompts": len(encoded.groups),
        "training_pairs": sum(len(group.pairs) for group in encoded.groups),
        "prompts_without_pairs": len(training) - too_long - len(encoded.groups),
    }
    return Data(*groups), counts | encoded.metrics() | typed


def train(
    model: "PreTrainedModel",
    data: Data,
    params: Dpo,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Train in place; yield a point an update, with `validation_loss` and others where an epoch ends.

    The model ends with the weights of the epoch that `params.select` names.
    """
    placement.recompute(model, runtime)
    learning = Learning[Example](
        losses=lambda batch: objective.micro_batch_losses(model, batch, params, runtime),
        describe=objective.described,
        validate=lambda: objective.validate(model, data.validation, params, runtime),
    )
    return epochs.train(model, data.training, learning, params, runtime, seed, states)


if __name__ == "__main__":
    launch.run(STAGE, main)
