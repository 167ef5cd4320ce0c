"""Losses of the two reward models: ranks (Ouyang et al. 2022, eq. 1) and direct scores."""

from torch import Tensor
from torch.nn import functional


def grouped_pairs(rewards: Tensor, better: Tensor, worse: Tensor, weights: Tensor) -> Tensor:
    """Return sum_i weights_i * -log sigmoid(r_better_i - r_worse_i).

    rewards [N]: one per answer, the answers of all prompts of the batch in a row. better, worse, weights [M]: one per
    pair; weights are 1 / (pairs of that prompt) / (prompts in the batch), so that each prompt counts once however
    many answers it has: -1/C(K,2) E[log sigmoid(r_w - r_l)]. Each answer is scored once, not once a pair.
    """
    return (weights * -functional.logsigmoid(rewards[better] - rewards[worse])).sum()


def direct_scores(rewards: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return sum_i weights_i * (sigmoid(reward_i) - target_i)^2; all [N], targets in [0, 1]."""
    return (weights * (rewards.sigmoid() - targets) ** 2).sum()
