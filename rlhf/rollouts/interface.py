"""What draws rollouts: weights in, under a version; prompts in; tokens and their log-probabilities out.

    engine.load(version, whole_weights.named(policy))      # after each update of the policy
    answers = engine.answer(prompts, sampling, row_seeds)
    assert answers.version == version

An engine may be another program on another machine, with kernels, a precision and a cache of its own. So two things
are not believed but looked at: that the weights arrived as they were sent (`buckets`, `receiving`), and that they say
what the trainer's say. Training never uses an engine's log-probabilities as its own: the training forward pass computes
them again, and `rlhf.rl.mismatch` measures and bounds the difference.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

Weights = Iterable[tuple[str, Tensor]]  # whole tensors by transformers' names, tied ones once


class Sampling(NamedTuple):
    """How answers are drawn: from the pure policy, without top-k, top-p, penalties or a minimal length."""

    temperature: float  # 0 is greedy
    most_tokens: int
    end_ids: tuple[int, ...]  # each of them ends an answer, and no other token does
    num_tokens: int | None  # ids from here on are never drawn; None: all are tokens


class Answers(NamedTuple):
    """One answer a prompt, in the prompts' order."""

    token_ids: list[list[int]]  # the end included, where it came in time
    logprobs: list[list[float]] | None  # of each token in what it was drawn from, temperature included; None: not asked
    version: int  # of the weights that all of them were drawn with


class Engine(Protocol):
    """What draws rollouts, whoever computes them. Of several training processes all call, with the same arguments."""

    def load(self, version: int, weights: Weights) -> None:
        """Hold these weights from now on, and forget what was computed with others. Versions grow.

        Raises ValueError that names the tensor which did not arrive as it was sent; the engine then answers no more.
        """
        ...

    def answer(self, prompts: Sequence[Sequence[int]], sampling: Sampling, row_seeds: Sequence[int]) -> Answers:
        """Return an answer a prompt, each drawn by its own seed: neither its batch nor its place decides."""
        ...

    def close(self) -> None:
        """Give back what the engine holds. It may be called twice."""
        ...
