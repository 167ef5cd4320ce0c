"""DPO's loss: what a policy says of ranked answers beside what SFT says of them (Rafailov et al. 2023, equation 7).

    r(x, y) = beta * (log pi(y | x) - log pi_SFT(y | x))        the implicit reward of an answer
    loss    = -log sigmoid(r(x, better) - r(x, worse))          of a pair

SFT is where the policy begins: what it says is asked once, before the first update, and no second model is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rlhf.engine import logprobs
from rlhf.models import forward, placement
from rlhf.params.runtime import Runtime
from rlhf.params.training.dpo import Dpo
from rlhf.preferences import preference_losses, preference_training, rewards
from rlhf.preferences.preference_training import Group
from rlhf.runtime import parallel
from rlhf.sharding import shards
from rlhf.tokens import batching
from rlhf.training.optimisation import MicroBatchLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = ("plain", "forked")  # kinds of rows that a policy reads here: a prompt stands before all its answers, once


class Example(NamedTuple):
    """One prompt's answers, which stay together in one batch."""

    record: str  # the comparison's id
    rows: list[rewards.Sequence]  # K rows, prompt and answer
    pairs: list[tuple[int, int]]  # (better, worse) of every labeler, ties dropped
    reference: list[float]  # K log-probabilities of the answers by SFT, in nats


def answer_logprobs(model: "PreTrainedModel", groups: Sequence[Sequence[rewards.Sequence]], runtime: Runtime) -> Tensor:
    """Return log pi(answer | prompt) of every answer of the groups, its end counted, in nats: [N]."""
    forked = batching.fork(groups, model.config.pad_token_id, runtime.device)
    before, owners = batching.predecessors(forked.segments), forked.owners.flatten()  # [B T] each
    known = (owners >= 0) & (before >= 0)  # the first token of a row that has no prompt follows nothing
    wanted = torch.zeros_like(known).index_fill(0, before[known], True).view_as(forked.ids)
    with placement.precision(runtime):
        hidden = forward.hidden_states(model, forked.ids, forked.position_ids, forked.segments, wanted, "forked")
        number = wanted.flatten().cumsum(0) - 1  # which of the M a place's state is
        states, ids = hidden[number[before[known]]], forked.ids.flatten()[known]
        found = logprobs.of_hidden(states, forward.output_head(model), ids)
    return found.new_zeros(len(forked.lasts)).index_add(0, owners[known], found)


@torch.no_grad()
def with_reference(model: "PreTrainedModel", groups: Sequence[Group], params: Dpo, runtime: Runtime) -> list[Example]:
    """Return the groups, and beside them what the model says of their answers now: it is the reference from then on."""

    def measure(some: list[Group]) -> list[float]:
        rows = [group.rows for group in some]
        return batching.as_list(shards.within([model], lambda: answer_logprobs(model, rows, runtime)))

    parts = preference_training.micro_batches(groups, _part_size(groups, params))
    waiting = (value for found in parallel.each(measure, parts) for value in found)
    return [Example(group.record, group.rows, group.pairs, [next(waiting) for _ in group.rows]) for group in groups]


def micro_batch_losses(
    model: "PreTrainedModel", batch: Sequence[Example], params: Dpo, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the parts of the batch's loss, each prompt counting once, with their shares of what `described` tells."""

    def loss_of(examples: list[Example]) -> MicroBatchLoss:
        own = answer_logprobs(model, [example.rows for example in examples], runtime)
        reference = own.new_tensor([value for example in examples for value in example.reference])
        implicit = params.beta * (own - reference)  # [N]
        pairs = _pairs_of(examples, len(batch), own)
        return MicroBatchLoss(preference_losses.grouped_pairs(implicit, *pairs), _measures(implicit.detach(), pairs))

    for examples in preference_training.micro_batches(batch, _part_size(batch, params)):
        yield partial(loss_of, examples)


class _Pairs(NamedTuple):
    better: Tensor  # [M] which of the N answers it is
    worse: Tensor  # [M]
    weights: Tensor  # [M] 1 / (pairs of that prompt) / (prompts in the batch)


def _pairs_of(examples: Sequence[Example], num_prompts: int, like: Tensor) -> _Pairs:
    better, worse, weights, start = list[int](), list[int](), list[float](), 0
    for example in examples:
        better += [start + first for first, _ in example.pairs]
        worse += [start + second for _, second in example.pairs]
        weights += [1 / len(example.pairs) / num_prompts] * len(example.pairs)
        start += len(example.rows)
    places = partial(torch.tensor, device=like.device)
    return _Pairs(places(better), places(worse), like.new_tensor(weights))


def _measures(implicit: Tensor, pairs: _Pairs) -> dict[str, float]:
    margins = implicit[pairs.better] - implicit[pairs.worse]  # [M]
    return {
        "right": ((margins > 0).sum() + 0.5 * (margins == 0).sum()).item(),
        "pairs": len(margins),
        "better": (pairs.weights * implicit[pairs.better]).sum().item(),
        "worse": (pairs.weights * implicit[pairs.worse]).sum().item(),
    }


def described(measures: Mapping[str, float]) -> dict[str, float]:
    """Return the share of pairs that the implicit rewards order as the labelers did, and their means over prompts.

    That of better answers tells whether they became likelier, or the worse ones unlikelier alone.
    """
    return {
        "accuracy": measures["right"] / measures["pairs"],
        "reward_of_better": measures["better"],
        "reward_of_worse": measures["worse"],
    }


@torch.no_grad()
def validate(model: "PreTrainedModel", examples: Sequence[Example], params: Dpo, runtime: Runtime) -> dict[str, float]:
    """Return the loss on held-out comparisons, and what `described` tells of them."""
    was_training = model.training
    model.eval()

    def numbers(share: Callable[[], MicroBatchLoss]) -> tuple[float, dict[str, float]]:
        found = shards.within([model], share)
        return found.loss.item(), found.measures

    losses, measures = zip(*parallel.each(numbers, micro_batch_losses(model, examples, params, runtime)), strict=True)
    model.train(was_training)
    total = {name: sum(one[name] for one in measures) for name in measures[0]}
    return {"validation_loss": sum(losses)} | {f"validation_{name}": value for name, value in described(total).items()}


def _part_size(groups: Sequence[Group] | Sequence[Example], params: Dpo) -> int:
    return parallel.part_size(sum(len(group.rows) for group in groups), params.micro_batch_rows)
