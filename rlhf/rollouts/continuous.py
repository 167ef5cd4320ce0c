"""Rollouts by transformers' continuous batching: requests join and leave a running batch, over a cache in pages.

It holds a copy of the policy in the dtype of the products, in this process. What it does not have is a seed for each
request: one generator draws for all of them, so an answer depends on which others are drawn beside it.
"""

import copy
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig

from rlhf.lora import attaching
from rlhf.params.runtime import Runtime
from rlhf.rollouts import sharing
from rlhf.rollouts.interface import Answers, Sampling, Weights
from rlhf.rollouts.receiving import Receiver
from rlhf.runtime import seeds

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ContinuousBatching:
    """An engine on the trainer's device. cache_blocks, batch_tokens: None lets the library take 90% of the memory,
    which on a CPU is that of the whole machine.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        runtime: Runtime,
        bucket_mb: float,
        cache_blocks: int | None,
        batch_tokens: int | None,
    ):
        self._copy: Any = copy.deepcopy(model)
        attaching.merge(self._copy)
        self._copy = self._copy.to(getattr(torch, runtime.dtype)).eval().requires_grad_(False)
        self._sizes: dict[str, Any] = {"num_blocks": cache_blocks, "max_batch_tokens": batch_tokens}
        self._weights: dict[str, Tensor] = dict(self._copy.named_parameters())
        self._bucket_mb, self._session = bucket_mb, secrets.token_hex(8)
        self._receiver = Receiver(self._put, self._held)

    def load(self, version: int, weights: Weights) -> None:
        """Copy the weights. There is no cache to be forgotten: `answer` makes one for its prompts alone."""
        sharing.send(self._receiver, self._session, version, weights, self._bucket_mb)

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]) -> Answers:
        version = self._receiver.version
        if version is None:
            raise ValueError("transformers' continuous batching holds no whole version of the weights")

        def ask(rows: list[int]) -> list[tuple[list[int], list[float]]]:
            return self._some([[*prompts[row]] for row in rows], sampling, [row_seeds[row] for row in rows])

        found = sharing.by_process(ask, len(prompts))
        return Answers([ids for ids, _ in found], [numbers for _, numbers in found], version)

    def close(self) -> None:
        self._copy, self._weights = None, {}

    def _some(
        self, prompts: list[list[int]], sampling: Sampling, row_seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        with torch.random.fork_rng():  # the library seeds torch's own generator
            found = self._copy.generate_batch(
                prompts,
                generation_config=generation(sampling, int(self._copy.config.get_text_config().vocab_size)),
                continuous_batching_config=ContinuousBatchingConfig(
                    **self._sizes, return_logprobs=True, seed=seeds.derive(0, *row_seeds) >> 32
                ),
            )
        failed = [one.error for one in found.values() if one.error is not None]
        if len(found) != len(prompts) or failed:
            raise ValueError(
                f"transformers' continuous batching answered {len(found) - len(failed)} of {len(prompts)} prompts"
                f"{': ' + failed[0] if failed else ''}; raise ppo.rollouts.cache_blocks, or set engine to 'own'"
            )
        return [([*one.generated_tokens], [*one.logprobs]) for one in found.values()]

    @torch.no_grad()
    def _put(self, weights: list[tuple[str, Tensor]]) -> None:
        for name, tensor in weights:
            if name not in self._weights:
                raise ValueError(f"{name}: the policy's copy has no such weight")
            self._weights[name].copy_(tensor)

    def _held(self, name: str) -> Tensor | None:
        found = self._weights[name]
        return found if found.dtype == torch.float32 else None


def generation(sampling: Sampling, num_rows: int) -> GenerationConfig:
    """Return the library's settings for these rules, none left to a default. num_rows: of the model's vocabulary."""
    settings: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        settings = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0, "top_p": 1.0}
    if sampling.num_tokens is not None:
        settings["suppress_tokens"] = [*range(sampling.num_tokens, num_rows)]
    return GenerationConfig(
        **settings,
        max_new_tokens=sampling.most_tokens,
        eos_token_id=[*sampling.end_ids],
        pad_token_id=sampling.end_ids[0],  # of nothing: there is no padding
    )
