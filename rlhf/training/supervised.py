"""Supervised fine-tuning on demonstrations: what `sft`, `feedme` and `rejection` do alike."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rlhf.lora import folders as adapter_folders
from rlhf.models import loading, placement
from rlhf.params.runtime import Runtime
from rlhf.params.training.supervised import Supervised
from rlhf.records.types import Demonstration
from rlhf.runs import checkpoints
from rlhf.runtime import distributed, outputs, parallel, seeds
from rlhf.runtime.files import new_folder
from rlhf.sharding import shards
from rlhf.tokens import batching, chat
from rlhf.training import epochs, language_modelling
from rlhf.training.context import StageContext
from rlhf.training.epochs import Learning
from rlhf.training.optimisation import MicroBatchLoss
from rlhf.training.stored import Example, Examples

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Encoded(NamedTuple):
    examples: Sequence[Example]
    num_too_long: int  # records left out
    num_unlearned: int  # earlier turns of assistants that are not learned, see `chat.TokenisedTurns`


class Demonstrations(NamedTuple):
    """Demonstrations to learn and to validate by, and what the stage counted while it made them."""

    training: Collection[Demonstration]  # read several times: it may lie in a file, see `records.Stored`
    held_out: Collection[Demonstration]
    counts: Mapping[str, float] = {}  # metrics


class Data(NamedTuple):
    training: Sequence[Example]
    validation: Sequence[Example]


def fit(
    model: "PreTrainedModel",
    tokenizer: Any,
    demonstrations: Demonstrations,
    params: Supervised,
    context: StageContext,
) -> None:
    """Fine-tune on demonstrations; save the model's folder, the curve and the metrics of the stage."""
    training, held_out, counts = demonstrations
    encoded = encode(tokenizer, training, params.max_tokens)
    data = Data(encoded.examples, encode(tokenizer, held_out, params.max_tokens).examples)
    texts = (chat.texts_of(record["messages"], record["response"]) for record in chain(training, held_out))
    typed = context.typed_markers(tokenizer, texts)
    typed |= context.changed_turns(tokenizer, (record["messages"] for record in chain(training, held_out)))
    context.rates_of(model)
    num_steps = epochs.count_steps(len(data.training), params)
    base = context.root / "data" / adapter_folders.BASES[context.stage][0]
    if params.lora is not None:
        seed = seeds.derive(context.seed, "lora")
        loading.attach(model, params.lora, seed, params.max_tokens, context.run.say)
    points = train(model, data, params, context.runtime, context.seed, context.states)
    curve = list(context.followed(points, num_steps, ["loss"]))
    loading.set_dropout(model.config, 0.0)
    with new_folder(context.out) as folder:
        loading.save(model, tokenizer, folder, params.lora, base)
    metrics = {
        **epochs.kept(curve, params),
        "demonstrations": len(data.training),
        "too_long": encoded.num_too_long,
        **counts,
        **typed,
    }
    if encoded.num_unlearned:
        metrics["assistant_turns_not_learned"] = encoded.num_unlearned
        context.run.say(
            f"{encoded.num_unlearned} earlier turns of assistants are not learned: the template leaves them out or "
            "rewrites them, or they spell its markers"
        )
    outputs.write_curve(context.root, context.name, outputs.thinned(curve))
    context.conclude(metrics)


def encode(tokenizer: Any, demonstrations: Iterable[Demonstration], max_tokens: int) -> Encoded:
    """Return demonstrations as token ids and assistant masks; those longer than `max_tokens` are left out, counted.

    They lie in a file, see `stored`. Raises ValueError where none is left.
    """
    kept, unlearned, count = Examples(), 0, 0
    for record in demonstrations:
        count += 1
        turns = chat.dialogue_ids(tokenizer, record["messages"], record["response"], max_tokens)
        if turns is not None:
            kept.append(Example(record["id"], turns.ids, turns.assistant_mask))
            unlearned += turns.unlearned
    if not kept:
        raise ValueError(f"none of {count} demonstrations fits into max_tokens {max_tokens}")
    return Encoded(kept, count - len(kept), unlearned)


def train(
    model: "PreTrainedModel",
    data: Data,
    params: Supervised,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Fine-tune in place; yield a point an update, with `validation_loss` (nats per token) where an epoch ends.

    The model ends with the weights of the epoch that `params.select` names. Raises ValueError for dropout in several
    processes, whose draws would depend on how many they are.
    """
    dropout = params.dropout or (params.lora is not None and params.lora.dropout)
    if dropout and distributed.count() > 1:
        raise ValueError("dropout draws from one generator: set it to 0 in params.yaml, or start one process")
    torch.manual_seed(seeds.derive(seed, "dropout"))
    placement.recompute(model, runtime)
    held_out = data.validation
    learning = Learning[Example](
        losses=lambda batch: micro_batch_losses(model, batch, params, runtime),
        describe=lambda _: {},
        validate=lambda: {"validation_loss": validate(model, held_out, params, runtime)} if held_out else {},
        parts={"dropout": torch.default_generator},
    )
    yield from epochs.train(model, data.training, learning, params, runtime, seed, states)


@torch.no_grad()
def validate(model: "PreTrainedModel", examples: Sequence[Example], params: Supervised, runtime: Runtime) -> float:
    """Return the mean loss on the assistants' tokens, nats per token."""
    was_training = model.training
    model.eval()

    def total(batch: batching.Packed) -> tuple[float, int]:
        targets = batch.loss_mask[:, 1:]
        with placement.precision(runtime):
            losses = shards.within([model], lambda: language_modelling.packed_losses(model, batch, targets))
        return losses.double().sum().item(), len(losses)

    batches = _packed_batches(examples, model.config.pad_token_id, params, runtime)
    totals, counts = zip(*parallel.each(total, batches), strict=True)
    model.train(was_training)
    return sum(totals) / sum(counts)


def micro_batch_losses(
    model: "PreTrainedModel", examples: Sequence[Example], params: Supervised, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the parts of the batch's loss, weighted by tokens of the whole batch."""
    num_targets = sum(sum(example.assistant_mask[1:]) for example in examples)
    num_tokens = sum(len(example.ids) - 1 for example in examples)

    def loss_of(batch: batching.Packed) -> MicroBatchLoss:
        answers = batch.loss_mask[:, 1:]
        inside = (batch.segments[:, 1:] > 0) & (batch.position_ids[:, 1:] > 0)
        targets = inside if params.lm_coef else answers
        with placement.precision(runtime):
            losses = language_modelling.packed_losses(model, batch, targets)  # [M]
        loss = (losses * answers[targets]).sum() / num_targets
        if params.lm_coef:
            loss = loss + params.lm_coef * losses.sum() / num_tokens
        return MicroBatchLoss(loss)

    for batch in _packed_batches(examples, model.config.pad_token_id, params, runtime):
        yield partial(loss_of, batch)


def _packed_batches(
    examples: Sequence[Example], pad_id: int, params: Supervised, runtime: Runtime
) -> Iterator[batching.Packed]:
    if params.packing:
        plan = batching.packing_plan([len(example.ids) for example in examples], params.max_tokens)
    else:
        plan = [[index] for index in range(len(examples))]
    for part in parallel.cut(plan, params.micro_batch_rows):
        rows = [[(examples[index].ids, examples[index].assistant_mask) for index in row] for row in part]
        yield batching.pack(rows, pad_id, runtime.device)
