"""PPO's clipped losses and the KL controllers (Schulman et al. 2017; Ziegler et al. 2019)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    value: Tensor  # scalar
    clip_share: Tensor  # scalar: share of real tokens at which the clipped branch decided


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float, num_tokens: int
) -> Loss:
    """Return the sum over real tokens of max(-A rho, -A clip(rho, 1 - c, 1 + c)) / num_tokens; all [B, R].

    `num_tokens` is that of the whole minibatch, so that micro-batches add up to the same gradient.
    """
    ratio = ((logprobs - old_logprobs) * mask).exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    total = (torch.maximum(plain, clipped) * mask).sum() / num_tokens
    return Loss(total, ((clipped > plain) & mask).sum() / num_tokens)


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range: float, num_tokens: int
) -> Loss:
    """Return the sum over real tokens of 0.5 max((V - G)^2, (V_clipped - G)^2) / num_tokens; all [B, R]."""
    near = old_values + (values - old_values).clamp(-clip_range, clip_range)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    total = 0.5 * (torch.maximum(plain, clipped) * mask).sum() / num_tokens
    return Loss(total, ((clipped > plain) & mask).sum() / num_tokens)


def adapted_kl_coef(kl_coef: float, kl: float, target: float, horizon: int, num_episodes: int) -> float:
    """Return the next coefficient: beta (1 + clip(KL / target - 1, +-0.2) * episodes / horizon) (Ziegler 2019, eq. 4).

    kl and target in nats per sequence; horizon in episodes.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * num_episodes / horizon)
