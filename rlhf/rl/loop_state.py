"""What one PPO iteration hands to the next: models, optimisers, orders, the KL coefficient and the averaged weights."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlhf.models import placement
from rlhf.params.ppo import Ppo
from rlhf.params.runtime import Runtime
from rlhf.rl import clipping
from rlhf.rl.experience import Models, Prompt
from rlhf.runs import checkpoints
from rlhf.runtime import seeds
from rlhf.tokens import batching
from rlhf.training import language_modelling, optimisation


class Data(NamedTuple):
    """What PPO reads."""

    prompts: list[Prompt]
    text: Tensor | None  # [N, T] pretraining text for PPO-ptx
    num_too_long: int = 0  # prompts left out


class LoopState:
    """Knows how to begin, how to be kept after an iteration, and how to go on from there."""

    def __init__(self, models: Models, data: Data, params: Ppo, runtime: Runtime, seed: int):
        self.models, self._data, self._params = models, data, params
        models.shard(runtime)
        self.policy_optimiser = optimisation.adamw(models.policy, params.policy_optimisation)
        self.value_optimiser = optimisation.adamw(models.value_model, params.value_optimisation)
        self.generator = torch.Generator().manual_seed(seeds.derive(seed, "minibatches"))
        num_prompts = params.batch_size // params.answers_per_prompt
        self._order = batching.cycle(len(data.prompts), num_prompts, seeds.derive(seed, "prompts"))
        num_rows = max(1, round(params.minibatch_size * params.ptx_ratio / params.inner_epochs))
        self._texts = (
            None
            if data.text is None
            else language_modelling.row_batches(data.text, num_rows, seeds.derive(seed, "ptx"))
        )
        placement.recompute(models.policy, runtime)
        placement.recompute(models.value_model, runtime)
        average = [weight.clone() for weight in self._learned()] if params.ema_decay else []
        self._kept: dict[str, Any] = {"average": average, "kl_coef": params.kl_coef}
        self.iteration = 0  # from 1 on, once one has begun
        self.curve: list[dict[str, Any]] = []  # a point an iteration

    @property
    def kl_coef(self) -> float:
        """The coefficient that the current iteration pays."""
        return self._kept["kl_coef"]

    @property
    def policy_learns(self) -> bool:
        """Whether the current iteration lies behind those in which the value model alone learns."""
        return self.iteration > self._params.value_warmup

    def resume(self, states: checkpoints.States) -> Iterator[dict[str, Any]]:
        """Go on from the state that was kept, if there is one; yield the points up to it."""
        states.restore(self._parts())
        num_minibatches = self._params.inner_epochs * -(-self._params.batch_size // self._params.minibatch_size)
        for number in range(len(states.points)):  # what these iterations have read
            next(self._order)
            for _ in range(num_minibatches if number >= self._params.value_warmup else 0):
                self.next_text()
        self.curve, self.iteration = [*states.points], len(states.points)
        yield from states.points

    def begin_iteration(self) -> list[Prompt]:
        """Set the iteration's learning rates; return its prompts, the rows of one prompt side by side.

        The policy's schedule begins with its own first update; the value model's runs over all iterations.
        """
        params = self._params
        own = max(0, self.iteration - params.value_warmup)
        optimisation.set_learning_rate(self.policy_optimiser, params.policy_optimisation, own, params.iterations)
        optimisation.set_learning_rate(
            self.value_optimiser, params.value_optimisation, self.iteration, params.all_iterations
        )
        self.iteration += 1
        chosen = [self._data.prompts[index] for index in next(self._order)]
        return [prompt for prompt in chosen for _ in range(params.answers_per_prompt)]

    def next_text(self) -> Tensor | None:
        """Return the pretraining text [b, T] of the next update, None without PPO-ptx."""
        return None if self._texts is None else next(self._texts)

    def average_weights(self) -> None:
        """Take the policy's weights into their moving average, if there is one; of adapters A and B each."""
        for mean, weight in zip(self._kept["average"], self._learned(), strict=False):
            mean.lerp_(weight, 1 - self._params.ema_decay)

    def end_iteration(self, point: dict[str, Any], states: checkpoints.States) -> None:
        """Adapt the KL coefficient to the KL that was measured, and keep the state if it is time."""
        self.curve.append(point)
        controller = self._params.kl_controller
        if controller.kind == "adaptive" and self.policy_learns:
            self._kept["kl_coef"] = clipping.adapted_kl_coef(
                self.kl_coef, point["kl"], controller.target, controller.horizon, self._params.batch_size
            )
        states.keep(point, self._parts(), last=self.iteration == self._params.all_iterations)

    def take_average(self) -> None:
        """Give the policy the moving average of its weights, if there is one."""
        for mean, weight in zip(self._kept["average"], self._learned(), strict=False):
            weight.copy_(mean)

    def _learned(self) -> list[Tensor]:
        """The policy's weights that change."""
        return [*checkpoints.weights(self.models.policy).values()]

    def _parts(self) -> checkpoints.Parts:
        return {
            "policy": self.models.policy,
            "value_model": self.models.value_model,
            "policy_optimiser": self.policy_optimiser,
            "value_optimiser": self.value_optimiser,
            "minibatches": self.generator,
            "kept": self._kept,
        }
