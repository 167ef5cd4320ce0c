"""Log-probabilities, entropy and exact KL, in nats; from hidden states, logits are made some rows at a time.

So memory does not grow with tokens times vocabulary, however long the batch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rlhf.engine import products
from rlhf.engine.memory import MOST_LOGITS


class Head(NamedTuple):
    """What makes logits of hidden states: cap * tanh(x / cap) of x = scale * (weight h + bias); without a cap, x."""

    weight: Tensor  # [V, D]
    bias: Tensor | None  # [V]
    scale: float = 1.0
    cap: float | None = None


class Measured(NamedTuple):
    logprobs: Tensor  # [M] of the policy
    reference_logprobs: Tensor  # [M]
    entropies: Tensor  # [M] of the policy
    kls: Tensor  # [M] exact KL(policy || reference)


def of_hidden(hidden: Tensor, head: Head, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Return log softmax(head(hidden) / temperature)[ids]: [M, D], [M] -> [M].

    Where the logits do not fit into MOST_LOGITS, the gradient makes them again.
    """
    return _TokenLogprobs.apply(hidden, head.weight, head.bias, ids, head.scale, head.cap, temperature)


def logits(hidden: Tensor, head: Head) -> Tensor:
    """Return the logits of hidden states: [M, D] -> [M, V] in float32."""
    found = nn.functional.linear(hidden.to(head.weight.dtype), head.weight, head.bias).float()
    found = found * head.scale if head.scale != 1 else found
    return found if head.cap is None else head.cap * torch.tanh(found / head.cap)


@torch.no_grad()
def measured(
    hidden: Tensor,
    head: Head,
    reference_hidden: Tensor,
    reference_head: Head,
    ids: Tensor,
    temperature: float,
) -> Measured:
    """Return what PPO asks of both models' hidden states [M, D] and of the sampled ids [M]."""
    parts = []
    ours, theirs = (_Logits(layer, len(ids), products.dtype(hidden)) for layer in (head, reference_head))
    for rows in _chunks(len(ids), head.weight.shape[0]):
        scaled = ours.scaled(hidden[rows], temperature)
        normaliser, work = ours.normalised(scaled)
        found = of_tokens(scaled, ids[rows]) - normaliser  # as in of_hidden, to the last bit
        log_p = scaled.sub_(normaliser.unsqueeze(-1))
        log_q = theirs.log_softmax(reference_hidden[rows], temperature)
        parts.append((found, of_tokens(log_q, ids[rows]), entropy(log_p, work), exact_kl(log_p, log_q, work)))
    return Measured(*map(torch.cat, zip(*parts, strict=True)))


def of_tokens(log_p: Tensor, ids: Tensor) -> Tensor:
    """Return log_p[ids]: [..., V], [...] -> [...]."""
    if log_p.shape[:-1] != ids.shape:
        raise ValueError(f"log-probabilities {tuple(log_p.shape)} and ids {tuple(ids.shape)} must agree in all but V")
    return log_p.gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def entropy(log_p: Tensor, work: Tensor | None = None) -> Tensor:
    """Return the entropy of each distribution: [..., V] -> [...]. `work`, of log_p's shape, is written over."""
    return -torch.exp(log_p, out=work).mul_(log_p).sum(dim=-1)


def exact_kl(log_p: Tensor, log_q: Tensor, work: Tensor | None = None) -> Tensor:
    """Return KL(p || q) over the whole vocabulary: two [..., V] -> [...]. With `work`, both it and log_q are lost."""
    difference = torch.sub(log_p, log_q, out=None if work is None else log_q)
    return torch.exp(log_p, out=work).mul_(difference).sum(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values where mask is True; both of one shape."""
    return (values * mask).sum() / mask.sum()


class _TokenLogprobs(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor,
        scale: float,
        cap: float | None,
        temperature: float,
    ) -> Tensor:
        parts, chunks, probabilities = [], _chunks(len(ids), weight.shape[0]), None
        logits = _Logits(Head(weight, bias, scale, cap), len(ids), products.dtype(hidden))
        for rows in chunks:
            scaled = logits.scaled(hidden[rows], temperature)
            normaliser, probabilities = logits.normalised(scaled)
            parts.append(of_tokens(scaled, ids[rows]) - normaliser)
        keeps = len(chunks) == 1 and cap is None
        ctx.save_for_backward(hidden, weight, bias, ids, probabilities if keeps else None)
        ctx.scale, ctx.cap, ctx.temperature, ctx.dtype = scale, cap, temperature, logits.dtype
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]  # one output, one gradient
        hidden, weight, bias, ids, kept = ctx.saved_tensors
        logits = _Logits(Head(weight, bias, ctx.scale, ctx.cap), len(ids), ctx.dtype)
        of_weight, of_bias = ctx.needs_input_grad[1:3]
        to_hidden, to_weight = [], torch.zeros_like(weight) if of_weight else None
        to_bias = torch.zeros_like(bias) if of_bias else None
        for rows in _chunks(len(ids), weight.shape[0]):
            share = gradient[rows].unsqueeze(1) / ctx.temperature  # d log p / d logits = (1[token] - softmax) / T
            slope: Tensor | None = None
            if kept is None:
                scaled = logits.scaled(hidden[rows], ctx.temperature)
                slope = None if ctx.cap is None else 1 - (scaled * (ctx.temperature / ctx.cap)).square_()
                _, probabilities = logits.normalised(scaled)
                to_logits = probabilities.mul_(-share)
            else:
                to_logits = kept * -share
            to_logits.scatter_add_(1, ids[rows].unsqueeze(1), share)
            if slope is not None:
                to_logits.mul_(slope)
            if ctx.scale != 1:
                to_logits.mul_(ctx.scale)
            if to_bias is not None:
                to_bias += to_logits.sum(0)
            low, states = logits.lowered(to_logits), _filled(hidden[rows], ctx.dtype)
            to_hidden.append((low @ logits.weight)[: len(share)])
            if to_weight is None:  # frozen
                continue
            if ctx.dtype == weight.dtype:
                to_weight.addmm_(low.t(), states)
            else:  # some of the vocabulary at a time, for a sum of two dtypes makes a copy of the lower one
                for words in _chunks(*weight.shape):
                    to_weight[words].add_(low[:, words].t() @ states)
        return torch.cat(to_hidden).to(hidden.dtype), to_weight, to_bias, None, None, None, None


class _Logits:
    """Room for one chunk of a head's logits, used again for each: glibc's heap, which PyTorch aligns its blocks in,
    seldom takes a freed large block for the next one of its size, and would grow with tokens times vocabulary.
    """

    def __init__(self, head: Head, num_rows: int, dtype: torch.dtype):
        self.bias, self.scale, self.cap, self.dtype = head.bias, head.scale, head.cap, dtype
        self.weight = head.weight.detach().to(dtype)
        most = min(num_rows, _chunk_rows(head.weight.shape[0]))
        shape = products.num_rows(most, dtype), head.weight.shape[0]
        self.exact, self.shares = (torch.empty(shape, device=head.weight.device) for _ in range(2))
        self.low = self.exact if dtype == torch.float32 else torch.empty(shape, dtype=dtype, device=head.weight.device)

    def scaled(self, hidden: Tensor, temperature: float) -> Tensor:
        """Return logits / temperature [n, V] in float32, until the next call; the product is computed in `dtype`."""
        states = _filled(hidden, self.dtype)
        with products.as_written():
            torch.mm(states, self.weight.t(), out=self.low[: len(states)])
        logits = self.exact[: len(hidden)]
        if self.low is not self.exact:
            logits.copy_(self.low[: len(hidden)])
        if self.bias is not None:
            logits.add_(self.bias)
        if self.scale != 1:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits if temperature == 1 else logits.div_(temperature)

    def normalised(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-sum-exp [n] and the softmax of [n, V], until the next call: one pass makes both, the largest
        share is 1 / sum.
        """
        probabilities = torch.softmax(scaled, dim=-1, out=self.shares[: len(scaled)])
        return scaled.amax(dim=-1) - probabilities.amax(dim=-1).log(), probabilities

    def log_softmax(self, hidden: Tensor, temperature: float) -> Tensor:
        """Return log-probabilities [n, V], until the next call."""
        scaled = self.scaled(hidden, temperature)
        return torch.log_softmax(scaled, dim=-1, out=self.shares[: len(scaled)])

    def lowered(self, values: Tensor) -> Tensor:
        """Return values [n, V] in `dtype`, until the next call, with rows of zeros as `products.num_rows` asks."""
        if self.low is self.exact:
            return values
        made = self.low[: products.num_rows(len(values), self.dtype)]
        made[: len(values)].copy_(values)
        made[len(values) :] = 0
        return made


def _filled(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return rows [n, D] in `dtype`, and zeros after them as `products.num_rows` asks."""
    num_more = products.num_rows(len(rows), dtype) - len(rows)
    return nn.functional.pad(rows.to(dtype), (0, 0, 0, num_more)) if num_more else rows.to(dtype)


def _chunks(num_rows: int, num_columns: int) -> list[slice]:
    size = _chunk_rows(num_columns)
    return [slice(start, start + size) for start in range(0, num_rows, size)]


def _chunk_rows(num_columns: int) -> int:
    return max(1, MOST_LOGITS // num_columns)
