"""An iteration's updates of policy and value model: minibatches, micro-batches, and PPO-ptx's pretraining text."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf.engine import logprobs
from rlhf.models import forward, placement
from rlhf.params.ppo import Ppo
from rlhf.params.runtime import Runtime
from rlhf.rl import clipping, experience
from rlhf.rl.experience import Experience, Models, Window, windows
from rlhf.rl.loop_state import LoopState
from rlhf.runtime import failures
from rlhf.tokens import batching
from rlhf.training import language_modelling, optimisation
from rlhf.training.optimisation import MicroBatchLoss, PlannedUpdate


class Targets(NamedTuple):
    """What the updates of an iteration learn from."""

    episodes: Experience
    advantages: Tensor  # [B, R] whitened
    returns: Tensor  # [B, R]
    prompt_ids: list[str]  # B


def update(state: LoopState, targets: Targets, params: Ppo, runtime: Runtime) -> list[dict[str, float]]:
    """Update policy and value model `inner_epochs` times on every minibatch; return what each update measured.

    In the iterations of `value_warmup` policy, its optimiser, its average and the pretraining text stay as they are.
    """
    learned: list[dict[str, float]] = []
    for _ in range(params.inner_epochs):
        order = torch.randperm(len(targets.prompt_ids), generator=state.generator)
        for rows in torch.split(order, params.minibatch_size):
            planned = planned_updates(state, targets, rows, params, runtime)
            numbers: list[int] = batching.as_list(rows)
            with failures.at_step(state.iteration, [targets.prompt_ids[number] for number in numbers]):
                *policy, value = optimisation.steps(planned)
            measured = {"value_loss": value.loss}
            for one in policy:
                measured = one.measures | measured | {"grad_norm": one.grad_norm}
                state.average_weights()
            learned.append(measured)
    return learned


def planned_updates(
    state: LoopState, targets: Targets, rows: Tensor, params: Ppo, runtime: Runtime
) -> list[PlannedUpdate]:
    """Return the policy's update on a minibatch, if it learns in this iteration, and the value model's."""
    models, planned = state.models, list[PlannedUpdate]()
    if state.policy_learns:
        losses = policy_losses(models, targets, rows, state.next_text(), params, runtime)
        most = params.policy_optimisation.max_grad_norm
        planned.append(PlannedUpdate(models.policy, state.policy_optimiser, losses, most))
    losses = value_losses(models, targets, rows, params, runtime)
    most = params.value_optimisation.max_grad_norm
    return [*planned, PlannedUpdate(models.value_model, state.value_optimiser, losses, most)]


def policy_losses(
    models: Models, targets: Targets, rows: Tensor, text: Tensor | None, params: Ppo, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the micro-batches of a minibatch's clipped loss, then those of the pretraining text (Ouyang 2022, eq. 2).

    They measure policy_loss, clip_share, approx_kl (nats per token) and ptx_loss.
    """
    episodes = targets.episodes
    num_tokens = int(episodes.completion_mask[rows].sum())

    def clipped(window: Window) -> MicroBatchLoss:
        some, columns, width = window
        completions, mask, old = (
            tensor[some, :width] for tensor in (episodes.completions, episodes.completion_mask, episodes.logprobs)
        )
        ids, real = episodes.ids[some, columns], episodes.mask[some, columns]
        with placement.precision(runtime):
            hidden = forward.completion_states(models.policy, ids, real, mask)
            head = forward.output_head(models.policy)
            found = logprobs.of_hidden(hidden, head, completions[mask], params.temperature)
        current = forward.spread(found, mask)
        advantages = targets.advantages[some, :width]
        loss = clipping.policy_loss(current, old, advantages, mask, params.clip_range, num_tokens)
        change = 0.5 * ((current - old).detach() ** 2 * mask).sum() / num_tokens
        measures = {"policy_loss": loss.value, "clip_share": loss.clip_share, "approx_kl": change}
        return MicroBatchLoss(loss.value, {name: value.item() for name, value in measures.items()})

    def remembered(part: Callable[[], MicroBatchLoss]) -> MicroBatchLoss:
        loss = part().loss
        return MicroBatchLoss(params.ptx_coef * loss, {"ptx_loss": loss.item()})

    for window in windows(episodes.mask, episodes.completion_mask, rows, params.micro_batch_size, num_models=2):
        yield partial(clipped, window)
    if text is not None:
        for part in language_modelling.micro_batch_losses(models.policy, text, params.micro_batch_size, runtime):
            yield partial(remembered, part)


def value_losses(
    models: Models, targets: Targets, rows: Tensor, params: Ppo, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the micro-batches of a minibatch's clipped value loss."""
    episodes = targets.episodes
    num_tokens = int(episodes.completion_mask[rows].sum())

    def clipped(window: Window) -> MicroBatchLoss:
        some, columns, width = window
        old, wanted, mask = (
            tensor[some, :width] for tensor in (episodes.values, targets.returns, episodes.completion_mask)
        )
        ids, real = episodes.ids[some, columns], episodes.mask[some, columns]
        with placement.precision(runtime):
            values = experience.values_of(models.value_model, ids, real, mask)
        return MicroBatchLoss(clipping.value_loss(values, old, wanted, mask, params.value_clip_range, num_tokens).value)

    for window in windows(episodes.mask, episodes.completion_mask, rows, params.micro_batch_size, num_models=2):
        yield partial(clipped, window)
