"""The losses of the two reward models."""

import math

import pytest
import torch

from rlhf.preferences import preference_losses
from rlhf.records import records

RANKS = [[2, 1, 3, 2], [1, 1, 2]]  # two prompts with ties, K = 4 and 3


def flat_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    better, worse, weights, start = [], [], [], 0
    for ranks in RANKS:
        pairs = records.pairs(ranks)
        better += [start + b for b, _ in pairs]
        worse += [start + w for _, w in pairs]
        weights += [1 / len(pairs) / len(RANKS)] * len(pairs)
        start += len(ranks)
    return torch.tensor(better), torch.tensor(worse), torch.tensor(weights, dtype=torch.float64)


def naive_loss(rewards: torch.Tensor) -> torch.Tensor:
    """The paper's equation 1 as a double loop, the mean over prompts of the mean over a prompt's ordered pairs."""
    first, second = rewards[:4], rewards[4:]
    means = []
    for scores, ranks in ((first, RANKS[0]), (second, RANKS[1])):
        losses = [
            torch.log(1 + torch.exp(scores[b] - scores[a]))
            for a in range(len(ranks))
            for b in range(len(ranks))
            if ranks[a] < ranks[b]
        ]
        means.append(sum(losses) / len(losses))
    return sum(means) / 2


def test_the_grouped_loss_is_the_loop_over_all_ordered_pairs():
    rewards = torch.randn(7, dtype=torch.float64, requires_grad=True)
    grouped = preference_losses.grouped_pairs(rewards, *flat_pairs())
    naive = naive_loss(rewards)
    assert grouped.item() == pytest.approx(naive.item())
    torch.testing.assert_close(torch.autograd.grad(grouped, rewards)[0], torch.autograd.grad(naive, rewards)[0])


def test_equal_rewards_lose_log_2_whatever_k_is():
    assert preference_losses.grouped_pairs(torch.zeros(7).double(), *flat_pairs()).item() == pytest.approx(math.log(2))


def test_adding_a_constant_to_all_rewards_changes_no_ranking_loss():
    rewards = torch.randn(7, dtype=torch.float64)
    shifted = preference_losses.grouped_pairs(rewards + 5, *flat_pairs())
    assert shifted.item() == pytest.approx(preference_losses.grouped_pairs(rewards, *flat_pairs()).item())


def test_a_wide_wrong_margin_keeps_a_finite_loss_and_gradient():
    rewards = torch.tensor([-500.0, 500.0], requires_grad=True)
    loss = preference_losses.grouped_pairs(rewards, torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(1000)
    assert rewards.grad.tolist() == [-1, 1]


def test_direct_loss_by_hand():
    rewards, targets = torch.tensor([0.0, math.log(3.0)]), torch.tensor([1.0, 0.25])
    loss = preference_losses.direct_scores(rewards, targets, torch.tensor([0.5, 0.5]))
    assert loss.item() == pytest.approx(0.5 * 0.25 + 0.5 * 0.25)
