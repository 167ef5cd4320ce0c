"""Supervised fine-tuning on dialogues: the loop that `sft` and `feedme` share."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from rlhf.models import placement
from rlhf.params.runtime import Runtime
from rlhf.params.supervised import Supervised
from rlhf.runs import checkpoints
from rlhf.runtime import distributed, failures, parallel, seeds
from rlhf.tokens import batching, chat
from rlhf.training import language_modelling, optimisation
from rlhf.training.optimisation import Share


class Example(NamedTuple):
    record: str  # its id
    ids: list[int]
    assistant_mask: list[bool]  # beside each token: an assistant wrote it


class Encoded(NamedTuple):
    examples: list[Example]
    num_too_long: int  # records left out


def encode(tokenizer, demonstrations: list[dict], max_tokens: int) -> Encoded:
    """Return demonstrations as token ids and assistant masks; those longer than `max_tokens` are left out, counted.

    Raises ValueError where none is left.
    """
    examples = [
        Example(record["id"], *chat.dialogue_ids(tokenizer, record["messages"], record["response"]))
        for record in demonstrations
    ]
    kept = [example for example in examples if len(example.ids) <= max_tokens]
    if not kept:
        raise ValueError(f"none of {len(examples)} demonstrations fits into max_tokens {max_tokens}")
    return Encoded(kept, len(examples) - len(kept))


def count_steps(num_examples: int, params: Supervised) -> int:
    """Return the number of updates."""
    return params.epochs * -(-num_examples // params.batch_size)


def train(
    model: PreTrainedModel,
    pad_id: int,
    examples: list[Example],
    validation: list[Example],
    params: Supervised,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Fine-tune in place; yield a point an update, with `validation_loss` (nats per token) where an epoch ends.

    The model ends with the weights of the epoch that `params.select` names. Raises ValueError for dropout in several
    processes, whose draws would depend on how many they are.
    """
    if params.dropout and distributed.count() > 1:
        raise ValueError("dropout draws from one generator: set it to 0 in params.yaml, or start one process")
    optimiser = optimisation.adamw(model, params.optimisation)
    num_steps = count_steps(len(examples), params)
    steps_per_epoch = num_steps // params.epochs
    torch.manual_seed(seeds.derive(seed, "dropout"))
    best_loss, best_weights = float("inf"), None
    order = batching.epochs(len(examples), params.batch_size, params.epochs, seeds.derive(seed, "order"))
    model.train()
    if (found := states.restored()) is not None:
        checkpoints.load_weights(model, found["weights"])
        optimiser.load_state_dict(found["optimiser"])
        torch.set_rng_state(found["random"])  # dropout's
        best_loss, best_weights = found["best_loss"], found["best_weights"]
    yield from states.points
    for step, chosen in islice(enumerate(order), len(states.points), None):
        rate = optimisation.learning_rate(params.optimisation, step, num_steps)
        optimisation.set_learning_rate(optimiser, rate)
        batch = [examples[index] for index in chosen]
        with failures.at_step(step + 1, [example.record for example in batch]):
            parts = _shares(model, pad_id, batch, params, runtime)
            update = optimisation.step(model, optimiser, parts, params.optimisation.max_grad_norm)
        point = {"step": step + 1, "loss": update.loss, "learning_rate": rate, "grad_norm": update.grad_norm}
        if (step + 1) % steps_per_epoch == 0 and validation:
            point["validation_loss"] = validate(model, pad_id, validation, params, runtime)
            if params.select == "best_validation" and point["validation_loss"] < best_loss:
                best_loss = point["validation_loss"]
                best_weights = {name: weight.clone() for name, weight in checkpoints.weights(model).items()}
        if states.due(point, last=step + 1 == num_steps):
            now = {"weights": checkpoints.weights(model), "optimiser": optimiser.state_dict()}
            now |= {"random": torch.get_rng_state(), "best_loss": best_loss, "best_weights": best_weights}
            states.save(now)
        yield point
    if best_weights is not None:
        checkpoints.load_weights(model, best_weights)
    model.eval()


@torch.no_grad()
def validate(
    model: PreTrainedModel, pad_id: int, examples: list[Example], params: Supervised, runtime: Runtime
) -> float:
    """Return the mean loss on the assistants' tokens, nats per token."""
    was_training = model.training
    model.eval()

    def total(batch: batching.Packed) -> tuple[float, int]:
        targets = batch.loss_mask[:, 1:]
        with placement.precision(runtime):
            losses = language_modelling.packed_losses(model, batch, targets)
        return losses.double().sum().item(), len(losses)

    totals, counts = zip(*parallel.each(total, _packed_batches(examples, pad_id, params, runtime)), strict=True)
    model.train(was_training)
    return sum(totals) / sum(counts)


def _shares(
    model, pad_id: int, examples: list[Example], params: Supervised, runtime: Runtime
) -> Iterator[Callable[[], Share]]:
    """Yield the parts of the batch's loss, weighted by tokens of the whole batch."""
    num_targets = sum(sum(example.assistant_mask[1:]) for example in examples)
    num_tokens = sum(len(example.ids) - 1 for example in examples)

    def share(batch: batching.Packed) -> Share:
        answers = batch.loss_mask[:, 1:]
        inside = (batch.segments[:, 1:] > 0) & (batch.position_ids[:, 1:] > 0)
        targets = inside if params.lm_coef else answers
        with placement.precision(runtime):
            losses = language_modelling.packed_losses(model, batch, targets)  # [M]
        loss = (losses * answers[targets]).sum() / num_targets
        if params.lm_coef:
            loss = loss + params.lm_coef * losses.sum() / num_tokens
        return Share(loss)

    for batch in _packed_batches(examples, pad_id, params, runtime):
        yield partial(share, batch)


def _packed_batches(
    examples: list[Example], pad_id: int, params: Supervised, runtime: Runtime
) -> Iterator[batching.Packed]:
    if params.packing:
        plan = batching.packing_plan([len(example.ids) for example in examples], params.max_tokens)
    else:
        plan = [[index] for index in range(len(examples))]
    for part in parallel.cut(plan, params.micro_batch_rows):
        rows = [[(examples[index].ids, examples[index].assistant_mask) for index in row] for row in part]
        yield batching.pack(rows, pad_id, runtime.device)
