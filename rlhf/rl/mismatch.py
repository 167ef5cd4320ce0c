"""How far an engine's log-probabilities are from the trainer's of the same tokens, and what the update makes of it.

An engine with kernels, a precision or a cache of its own draws from another policy than the one that is trained: the
data are off-policy however fresh the weights. The gradient's expectation is put right by importance weights, trainer's
probability over engine's, and its variance is bounded by cutting them at `max_weight`: truncated importance sampling
(Ionides 2008, "Truncated Importance Sampling", eq. 5), at each token as IMPALA's rho is (Espeholt et al. 2018, eq. 1),
for rollout engines by Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training". The
weight stands before the clipped loss, whose own ratio goes on from the trainer's old policy to its current one.
"""

import torch
from torch import Tensor

from rlhf.params.training.rollouts import Rollouts
from rlhf.rl.experience import Experience


def is_measured(episodes: Experience) -> bool:
    """Say whether the engine was asked for its log-probabilities."""
    return episodes.rollout_logprobs.shape == episodes.logprobs.shape


def importance_weights(episodes: Experience, max_weight: float) -> Tensor:
    """Return min(p of the trainer / p of the engine, max_weight) of each token [B, R]; 1 on padding."""
    return _log_ratios(episodes).exp().clamp(max=max_weight)


def measured(episodes: Experience, params: Rollouts | None) -> dict[str, float]:
    """Return the mismatch of an iteration's rollouts, in nats a token; {} where it was not measured.

    rollout_kl estimates KL(engine || trainer) from the engine's own draws by k3 = r - 1 - log r of r = trainer's
    probability over engine's, which is never negative (Schulman 2020). rollout_at_bound: share of weights that are cut.
    Raises ValueError where the mean difference is above `max_gap`: then the engine does not hold the policy.
    """
    if params is None or not is_measured(episodes):
        return {}
    ratios = _log_ratios(episodes)[episodes.completion_mask].double()
    gap = ratios.abs().mean().item()
    if params.max_gap is not None and not gap <= params.max_gap:
        raise ValueError(
            f"params.yaml: ppo.rollouts.max_gap: the log-probabilities of engine '{params.engine}' are {gap:.3g} nats "
            f"a token from the trainer's, and {params.max_gap:g} are allowed: it draws from another policy (other "
            "weights, sampling parameters, or log-probabilities before temperature)"
        )
    found = {
        "rollout_gap": gap,
        "rollout_gap_max": ratios.abs().max().item(),
        "rollout_kl": (ratios.expm1() - ratios).mean().item(),
    }
    if params.max_weight is not None:
        weights = ratios.exp()
        found["rollout_weight"] = weights.clamp(max=params.max_weight).mean().item()
        found["rollout_at_bound"] = (weights > params.max_weight).double().mean().item()
    return found


def weighted(advantages: Tensor, episodes: Experience, params: Rollouts | None) -> Tensor:
    """Return advantages [B, R] times importance weights, which weighs the clipped loss: it is linear in them."""
    if params is None or params.max_weight is None or not is_measured(episodes):
        return advantages
    return advantages * importance_weights(episodes, params.max_weight)


def _log_ratios(episodes: Experience) -> Tensor:
    """Return log p of the trainer less log p of the engine [B, R]; 0 on padding."""
    difference = episodes.logprobs - episodes.rollout_logprobs
    return torch.where(episodes.completion_mask, difference, torch.zeros_like(difference))
