"""Rollouts by this project's own decoder, on the policy itself: the default. There is nothing to send."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from rlhf.models import decoding, placement
from rlhf.params.runtime import Runtime
from rlhf.rollouts.interface import Answers, Sampling, Weights
from rlhf.runtime import parallel
from rlhf.sampling import rollouts
from rlhf.tokens import batching

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Reader = Callable[["PreTrainedModel", int], decoding.Decoder]  # of a model, with room for so many new tokens


class OwnDecoder:
    """An engine that shares the trainer's weights, so that they are never stale, and its processes and workers.

    measures: whether answers have log-probabilities. Every row draws by its seed, in whatever batch.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        runtime: Runtime,
        pad_id: int,
        measures: bool = False,
        reader: Reader | None = None,
    ):
        self._model, self._runtime, self._pad_id, self._measures = model, runtime, pad_id, measures
        self._reader = reader or decoding.decoder
        self._version = 0

    def load(self, version: int, weights: Weights) -> None:  # noqa: ARG002 - they are the model's own
        self._version = version

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]) -> Answers:
        def sample(rows: list[int]) -> list[tuple[list[int], list[float]]]:
            with placement.precision(self._runtime):
                return self._some([prompts[row] for row in rows], sampling, [row_seeds[row] for row in rows])

        found = parallel.by_length(sample, [len(ids) for ids in prompts], len(prompts))
        logprobs = [numbers for _, numbers in found] if self._measures else None
        return Answers([ids for ids, _ in found], logprobs, self._version)

    def close(self) -> None:
        pass

    @torch.no_grad()
    def _some(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]
    ) -> list[tuple[list[int], list[float]]]:
        """Return the tokens of each prompt's answer, and their log-probabilities where these are measured."""
        left = batching.pad(prompts, self._pad_id, "left", str(self._model.device))
        draws = rollouts.uniforms_of(row_seeds, sampling.most_tokens)
        ends = rollouts.Ends(sampling.end_ids, self._pad_id, sampling.num_tokens)
        reader = self._reader(self._model, sampling.most_tokens)
        ids = torch.zeros(draws.shape, dtype=torch.long, device=left.ids.device)  # [B, R]
        lengths = torch.zeros(len(prompts), dtype=torch.long, device=left.ids.device)  # [B]
        logprobs = torch.zeros(draws.shape, device=left.ids.device)  # [B, R]
        for place, rows, going, tokens, logits in rollouts.steps(reader, left, draws, sampling.temperature, ends):
            written = rows[going]
            ids[written, place] = tokens[going]
            lengths[written] += 1
            if self._measures:
                logprobs[written, place] = of_drawn(logits, tokens, sampling.temperature)[going]
        rows_of = zip(ids.tolist(), logprobs.tolist(), lengths.tolist(), strict=True)
        return [(row[:length], numbers[:length] if self._measures else []) for row, numbers, length in rows_of]


def of_drawn(logits: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the log-probabilities [b] of tokens [b] under logits [b, V]; of greedy ones, at temperature 1."""
    scaled = logits if temperature in (0, 1) else logits / temperature
    return scaled.log_softmax(dim=-1).gather(1, tokens.unsqueeze(1)).squeeze(1)
