"""Log-probabilities, entropy and exact KL, in nats; from hidden states, logits are made some rows at a time.

So memory does not grow with tokens times vocabulary, however long the batch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from stages.core import products

MOST_LOGITS = 2**22  # numbers that exist at once


class Measured(NamedTuple):
    logprobs: Tensor  # [M] of the policy
    reference_logprobs: Tensor  # [M]
    entropies: Tensor  # [M] of the policy
    kls: Tensor  # [M] exact KL(policy || reference)


def of_hidden(hidden: Tensor, head: nn.Linear, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Return log softmax(head(hidden) / temperature)[ids]: [M, D], [M] -> [M].

    Where the logits do not fit into MOST_LOGITS, the gradient makes them again.
    """
    return _TokenLogprobs.apply(hidden, head.weight, head.bias, ids, temperature)


@torch.no_grad()
def measured(
    hidden: Tensor,
    head: nn.Linear,
    reference_hidden: Tensor,
    reference_head: nn.Linear,
    ids: Tensor,
    temperature: float,
) -> Measured:
    """Return what PPO asks of both models' hidden states [M, D] and of the sampled ids [M]."""
    parts, heads = [], (head, reference_head)
    weights = [layer.weight.to(products.dtype(hidden)) for layer in heads]
    for rows in _chunks(len(ids), head.weight.shape[0]):
        scaled, other = (
            _scaled(states[rows], weight, layer.bias, temperature)
            for states, layer, weight in zip((hidden, reference_hidden), heads, weights, strict=True)
        )
        normaliser, _ = _normalised(scaled)
        ours = of_tokens(scaled, ids[rows]) - normaliser  # as in of_hidden, to the last bit
        log_p, log_q = scaled.sub_(normaliser.unsqueeze(-1)), other.log_softmax(dim=-1)
        parts.append((ours, of_tokens(log_q, ids[rows]), entropy(log_p), exact_kl(log_p, log_q)))
    return Measured(*map(torch.cat, zip(*parts, strict=True)))


def of_tokens(log_p: Tensor, ids: Tensor) -> Tensor:
    """Return log_p[ids]: [..., V], [...] -> [...]."""
    if log_p.shape[:-1] != ids.shape:
        raise ValueError(f"log-probabilities {tuple(log_p.shape)} and ids {tuple(ids.shape)} must agree in all but V")
    return log_p.gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def entropy(log_p: Tensor) -> Tensor:
    """Return the entropy of each distribution: [..., V] -> [...]."""
    return -(log_p.exp() * log_p).sum(dim=-1)


def exact_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p || q) over the whole vocabulary: two [..., V] -> [...]."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values where mask is True; both of one shape."""
    return (values * mask).sum() / mask.sum()


class _TokenLogprobs(Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, temperature: float
    ) -> Tensor:
        parts, lowered = [], weight.to(products.dtype(hidden))
        chunks = _chunks(len(ids), weight.shape[0])
        for rows in chunks:
            scaled = _scaled(hidden[rows], lowered, bias, temperature)
            normaliser, probabilities = _normalised(scaled)
            parts.append(of_tokens(scaled, ids[rows]) - normaliser)
        ctx.save_for_backward(hidden, weight, bias, ids, probabilities if len(chunks) == 1 else None)
        ctx.temperature, ctx.dtype = temperature, lowered.dtype
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids, kept = ctx.saved_tensors
        lowered, to_weight = weight.to(ctx.dtype), torch.zeros_like(weight)
        to_hidden, to_bias = [], torch.zeros_like(bias) if bias is not None else None
        for rows in _chunks(len(ids), weight.shape[0]):
            probabilities = kept
            if kept is None:
                _, probabilities = _normalised(_scaled(hidden[rows], lowered, bias, ctx.temperature))
            share = gradient[rows].unsqueeze(1) / ctx.temperature  # d log p / d logits = (1[token] - softmax) / T
            to_logits = (probabilities * -share).scatter_add_(1, ids[rows].unsqueeze(1), share)
            if to_bias is not None:
                to_bias += to_logits.sum(0)
            to_logits, states = _filled(to_logits, ctx.dtype), _filled(hidden[rows], ctx.dtype)
            to_hidden.append((to_logits @ lowered)[: len(share)])
            if ctx.dtype == weight.dtype:
                to_weight.addmm_(to_logits.t(), states)
            else:  # some of the vocabulary at a time, for a sum of two dtypes makes a copy of the lower one
                for words in _chunks(*weight.shape):
                    to_weight[words].add_(to_logits[:, words].t() @ states)
        return torch.cat(to_hidden).to(hidden.dtype), to_weight, to_bias, None, None


def _scaled(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """Return logits / temperature [n, V] in float32; the product is computed in the dtype of `weight`."""
    with products.as_written():
        logits = (_filled(hidden, weight.dtype) @ weight.t())[: len(hidden)].float()
    if bias is not None:
        logits = logits + bias
    return logits if temperature == 1 else logits.div_(temperature)


def _normalised(scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp [n] and the softmax of [n, V]: one pass makes both, the largest share is 1 / sum."""
    probabilities = scaled.softmax(dim=-1)
    return scaled.amax(dim=-1) - probabilities.amax(dim=-1).log(), probabilities


def _filled(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return rows [n, D] in `dtype`, and zeros after them as `products.num_rows` asks."""
    num_more = products.num_rows(len(rows), dtype) - len(rows)
    return nn.functional.pad(rows.to(dtype), (0, 0, 0, num_more)) if num_more else rows.to(dtype)


def _chunks(num_rows: int, num_columns: int) -> list[slice]:
    size = max(1, MOST_LOGITS // num_columns)
    return [slice(start, start + size) for start in range(0, num_rows, size)]
