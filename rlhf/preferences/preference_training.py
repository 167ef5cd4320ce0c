"""Training and measuring a reward model on ranked answers: what `reward_model` and `judge` share."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from rlhf.models import placement
from rlhf.params.reward_model import RewardModel
from rlhf.params.runtime import Runtime
from rlhf.preferences import preference_losses, rewards
from rlhf.records import records
from rlhf.runs import checkpoints
from rlhf.runtime import failures, parallel, seeds
from rlhf.tokens import batching
from rlhf.training import optimisation
from rlhf.training.optimisation import Share


class Group(NamedTuple):
    """All that is known of one prompt's answers; they stay together in one batch (Ouyang et al. 2022, 3.5)."""

    record: str  # the comparison's id
    rows: list[rewards.Sequence]  # K rows, prompt and answer
    pairs: list[tuple[int, int]]  # (better, worse) of every labeler, ties dropped
    targets: list[float]  # K mean labelers' scores in [0, 1], or [] where labelers gave ranks only


def encode(tokenizer, comparisons: list[dict], params: RewardModel) -> list[Group]:
    """Return comparisons as groups of token rows. Raises ValueError where the loss finds nothing to learn from."""
    groups = []
    for comparison in comparisons:
        rows = [
            rewards.sequence(tokenizer, comparison["messages"], response, params.max_tokens)
            for response in comparison["responses"]
        ]
        pairs = [pair for label in comparison["labels"] for pair in records.pairs(label["ranks"])]
        groups.append(Group(comparison["id"], rows, pairs, unit_scores(comparison["labels"])))
    kept = [group for group in groups if (group.pairs if params.loss == "rank" else group.targets)]
    if not kept:
        needed = "two answers that a labeler ranked apart" if params.loss == "rank" else "labelers' scores"
        raise ValueError(f"no comparison has {needed}; the '{params.loss}' loss cannot be trained on this data")
    return kept


def unit_scores(labels: list[dict]) -> list[float]:
    """Return each answer's mean score over its labelers, from the scale 1..7 to [0, 1]; [] where a labeler gave none.

    Scores on another scale (say 0..1 or 1..10) are taken from their own lowest to highest value of the prompt.
    """
    if any(not label.get("scores") for label in labels):
        return []
    means = [sum(scores) / len(labels) for scores in zip(*(label["scores"] for label in labels), strict=True)]
    simulated = all(label["labeler"].startswith(("labeler_", "held_out_")) for label in labels)
    low, high = (1.0, 7.0) if simulated else (min(means), max(means))
    return [(mean - low) / (high - low) for mean in means] if high > low else []


class Elements(NamedTuple):
    """What a batch is made of: a prompt with all its pairs, or one pair; and how many make a batch."""

    groups: list[Group]
    batch_size: int


def elements(groups: list[Group], params: RewardModel) -> Elements:
    """Return the elements. Of shuffled pairs a batch has as many as `batch_size` prompts have on average."""
    if params.pairs == "grouped":
        return Elements(groups, params.batch_size)
    apart = [
        Group(group.record, [group.rows[better], group.rows[worse]], [(0, 1)], [])
        for group in groups
        for better, worse in group.pairs
    ]
    return Elements(apart, max(1, round(params.batch_size * len(apart) / len(groups))))


def count_steps(groups: list[Group], params: RewardModel) -> int:
    """Return the number of updates."""
    made = elements(groups, params)
    return params.epochs * -(-len(made.groups) // made.batch_size)


def train(
    model: PreTrainedModel,
    pad_id: int,
    groups: list[Group],
    params: RewardModel,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Train in place, one point an update: loss, and accuracy on the batch's own pairs before the update."""
    optimiser = optimisation.adamw(model, params.optimisation)
    num_steps = count_steps(groups, params)
    groups, batch_size = elements(groups, params)
    order = batching.epochs(len(groups), batch_size, params.epochs, seeds.derive(seed, "order"))
    model.train()
    if (found := states.restored()) is not None:
        checkpoints.load_weights(model, found["weights"])
        optimiser.load_state_dict(found["optimiser"])
    yield from states.points
    for step, chosen in islice(enumerate(order), len(states.points), None):
        rate = optimisation.learning_rate(params.optimisation, step, num_steps)
        optimisation.set_learning_rate(optimiser, rate)
        batch = [groups[index] for index in chosen]
        with failures.at_step(step + 1, [group.record for group in batch]):
            parts = _shares(model, pad_id, batch, params, runtime)
            update = optimisation.step(model, optimiser, parts, params.optimisation.max_grad_norm)
        accuracy = update.measures["right"] / update.measures["pairs"] if update.measures["pairs"] else 0.5
        point = {"step": step + 1, "loss": update.loss, "accuracy": accuracy}
        point |= {"learning_rate": rate, "grad_norm": update.grad_norm}
        if states.due(point, last=step + 1 == num_steps):
            states.save({"weights": checkpoints.weights(model), "optimiser": optimiser.state_dict()})
        yield point
    model.eval()


def calibration(margins: list[float], num_bins: int = 10) -> tuple[float, list[dict]]:
    """Return the expected calibration error and its bins for pairs that labelers ordered.

    `margins` are r_better - r_worse. The model's claim is p = sigmoid(|margin|); it is right where margin > 0. Bins
    part [0.5, 1] evenly; the error is the mean of |claim - share right| over pairs (Guo et al. 2017).
    """
    claims = torch.tensor(margins).abs().sigmoid()
    right = torch.tensor(margins) > 0
    which = ((claims - 0.5) * 2 * num_bins).long().clamp(max=num_bins - 1)
    bins, error = [], 0.0
    for number in range(num_bins):
        inside = which == number
        if inside.any():
            claim, share = claims[inside].mean().item(), right[inside].float().mean().item()
            error += abs(claim - share) * inside.float().mean().item()
            bins.append({"claimed": claim, "measured": share, "pairs": int(inside.sum())})
    return error, bins


def _shares(
    model, pad_id: int, batch: list[Group], params: RewardModel, runtime: Runtime
) -> Iterator[Callable[[], Share]]:
    """Yield the parts of the batch's loss, with how many pairs each has and how many it orders as the labelers did."""
    reading = rewards.Reading(params.pooling, params.likelihood_coef)

    def share(groups: list[Group]) -> Share:
        with placement.precision(runtime):
            scores = rewards.group_scores(model, [group.rows for group in groups], pad_id, reading, runtime)  # [N]
        better, worse, pair_weights, targets, answer_weights = [], [], [], [], []
        start = 0
        for group in groups:
            better += [start + first for first, _ in group.pairs]
            worse += [start + second for _, second in group.pairs]
            pair_weights += [1 / len(group.pairs) / len(batch) for _ in group.pairs]
            targets += group.targets
            answer_weights += [1 / len(group.rows) / len(batch)] * len(group.targets)
            start += len(group.rows)
        on = {"device": scores.device}
        if params.loss == "rank":
            weights = torch.tensor(pair_weights, **on)
            loss = preference_losses.grouped_pairs(
                scores, torch.tensor(better, **on), torch.tensor(worse, **on), weights
            )
        else:
            loss = preference_losses.direct_scores(
                scores, torch.tensor(targets, **on), torch.tensor(answer_weights, **on)
            )
        right = int((scores[better] > scores[worse]).sum()) if better else 0
        return Share(loss, {"right": right, "pairs": len(better)})

    num_rows = sum(len(group.rows) for group in batch)
    for groups in _micro_batches(batch, parallel.part_size(num_rows, params.micro_batch_rows)):
        yield partial(share, groups)


def _micro_batches(groups: list[Group], most_rows: int) -> Iterator[list[Group]]:
    waiting: list[Group] = []
    for group in groups:
        if waiting and sum(len(other.rows) for other in waiting) + len(group.rows) > most_rows:
            yield waiting
            waiting = []
        waiting.append(group)
    if waiting:
        yield waiting
