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
    parts = []
    dtype = products.dtype(hidden)
    for rows in _chunks(len(ids), head.weight.shape[0]):
        (scaled, normaliser), other = (
            _scaled(states[rows], layer.weight, layer.bias, dtype, temperature)
            for states, layer in ((hidden, head), (reference_hidden, reference_head))
        )
        ours = of_tokens(scaled, ids[rows]) - normaliser  # as in of_hidden, to the last bit
        log_p, log_q = scaled.sub_(normaliser.unsqueeze(-1)), other[0].sub_(other[1].unsqueeze(-1))
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
        parts = []
        chunks, dtype = _chunks(len(ids), weight.shape[0]), products.dtype(hidden)
        for rows in chunks:
            scaled, normaliser = _scaled(hidden[rows], weight, bias, dtype, temperature)
            parts.append(of_tokens(scaled, ids[rows]) - normaliser)
        kept = (scaled, normaliser) if len(chunks) == 1 else (None, None)
        ctx.save_for_backward(hidden, weight, bias, ids, *kept)
        ctx.temperature, ctx.dtype = temperature, dtype
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids, kept, kept_normaliser = ctx.saved_tensors
        dtype = ctx.dtype
        to_hidden, to_weight = torch.empty(hidden.shape, dtype=dtype, device=hidden.device), None
        to_bias = torch.zeros_like(bias) if bias is not None else None
        for rows in _chunks(len(ids), weight.shape[0]):
            if kept is None:
                scaled, normaliser = _scaled(hidden[rows], weight, bias, dtype, ctx.temperature)
            else:
                scaled, normaliser = kept, kept_normaliser
            share = gradient[rows].unsqueeze(1) / ctx.temperature  # d log p / d logits = (1[token] - softmax) / T
            to_logits = scaled.sub_(normaliser.unsqueeze(1)).exp_().mul_(-share)
            to_logits.scatter_add_(1, ids[rows].unsqueeze(1), share)
            if to_bias is not None:
                to_bias += to_logits.sum(0)
            to_logits = to_logits.to(dtype)
            torch.mm(to_logits, weight.to(dtype), out=to_hidden[rows])
            part = to_logits.t() @ hidden[rows].to(dtype)
            to_weight = part.to(weight.dtype) if to_weight is None else to_weight.add_(part)
        return to_hidden.to(hidden.dtype), to_weight, to_bias, None, None


def _scaled(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return logits / temperature [n, V] and their log-sum-exp [n] in float32; the product is computed in `dtype`."""
    to_add = None if bias is None else bias.to(dtype)
    logits = nn.functional.linear(hidden.to(dtype), weight.to(dtype), to_add).float()
    if temperature != 1:
        logits.div_(temperature)
    return logits, logits.logsumexp(dim=-1)


def _chunks(num_rows: int, num_columns: int) -> list[slice]:
    size = max(1, MOST_LOGITS // num_columns)
    return [slice(start, start + size) for start in range(0, num_rows, size)]
