"""Per-token rewards, generalised advantage estimation and whitening. Masks are True on real completion tokens."""

from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    advantages: Tensor  # [B, R]
    returns: Tensor  # [B, R]


def shape_rewards(scores: Tensor, logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Return r_t = -kl_coef * (log pi - log pi_ref) and, on the last real token, the score too (Ziegler et al. 2019).

    scores [B]; the others [B, R]. The last real token is the EOS action where the answer has ended.
    """
    _same_shape(logprobs=logprobs, reference_logprobs=reference_logprobs, mask=mask)
    rewards = -kl_coef * (logprobs - reference_logprobs) * mask  # [B, R]
    last = mask.long().sum(dim=1) - 1  # [B]
    return rewards.scatter_add(1, last.unsqueeze(1), scores.unsqueeze(1).to(rewards.dtype))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Estimate:
    """Return advantages and returns (Schulman et al. 2016, eq. 16), all [B, R]; zero outside the mask.

    delta_t = r_t + gamma V_{t+1} m_{t+1} - V_t and A_t = delta_t + gamma lam m_{t+1} A_{t+1}; returns are A + V.
    """
    _same_shape(rewards=rewards, values=values, mask=mask)
    present = mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    carried = torch.zeros_like(values[:, 0])  # [B]
    for t in reversed(range(values.shape[1])):
        if t + 1 < values.shape[1]:
            next_value, next_present = values[:, t + 1] * present[:, t + 1], present[:, t + 1]
        else:
            next_value = next_present = torch.zeros_like(carried)
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        carried = delta + gamma * lam * next_present * carried
        advantages[:, t] = carried
    advantages = advantages * present
    return Estimate(advantages, (advantages + values) * present)


def leave_one_out(values: Tensor, size: int) -> Tensor:
    """Return for each of [B] the mean of the others of its group; each `size` rows that follow one another are one."""
    groups = values.view(-1, size)  # [B / K, K]
    return ((groups.sum(dim=1, keepdim=True) - groups) / (size - 1)).flatten()


def prompt_offsets(rewards: Tensor, values: Tensor, mask: Tensor, size: int, gamma: float) -> Tensor:
    """Return by how much the value model is wrong of each row's prompt, as the prompt's other answers say: [B].

    c_i = mean of G_j over the other answers j to the prompt - V(s_0), with G = sum of gamma^t r_t. Without discount G
    is the score less the KL penalty of the whole answer, as in RLOO (Ahmadian et al. 2024). Answer i has no part in
    c_i, so that taking it off its score leaves the policy gradient's mean as it is.
    """
    _same_shape(rewards=rewards, values=values, mask=mask)
    discounts = gamma ** torch.arange(rewards.shape[1], device=rewards.device, dtype=rewards.dtype)  # [R]
    return leave_one_out((rewards * mask * discounts).sum(dim=1), size) - values[:, 0]


def without_offsets(rewards: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
    """Return rewards [B, R] whose last real token pays offsets [B].

    Of them GAE's advantages are, without discount, those of the value model V(s_t) + c_i: with lambda 1 the first
    token's is G_i - mean of the others' G, and further on the value model still tells one state from another.
    """
    last = mask.long().sum(dim=1) - 1  # [B]
    return rewards.scatter_add(1, last.unsqueeze(1), -offsets.unsqueeze(1).to(rewards.dtype))


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Return values scaled to variance 1 over the mask (biased, eps 1e-8), mean 0 unless `shift_mean` is False."""
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / count
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift_mean else whitened + mean) * mask


def _same_shape(**tensors: Tensor) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"tensors must have one shape [B, R], got {shapes}")
