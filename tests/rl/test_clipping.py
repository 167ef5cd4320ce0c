"""PPO's clipped losses and the adaptive KL coefficient."""

import math

import pytest
import torch

from rlhf.rl import clipping

ALL = torch.ones(1, 1, dtype=torch.bool)


def one(value: float) -> torch.Tensor:
    return torch.tensor([[value]])


# ratio, advantage, loss with clip 0.2, whether the clipped branch decided, whether a gradient is left
POLICY_TABLE = [
    (1.0, 2.0, -2.0, False, True),
    (1.1, 2.0, -2.2, False, True),
    (1.5, 2.0, -2.4, True, False),  # better than the clip allows: nothing more to gain
    (0.5, 2.0, -1.0, False, True),  # worse: the way back stays open
    (1.5, -2.0, 3.0, False, True),
    (0.5, -2.0, 1.6, True, False),
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "clipped", "moves"), POLICY_TABLE)
def test_policy_loss_by_hand(ratio, advantage, loss, clipped, moves):
    logprobs = one(math.log(ratio) - 1).requires_grad_()
    result = clipping.policy_loss(logprobs, one(-1.0), one(advantage), ALL, clip_range=0.2, num_tokens=1)
    assert result.value.item() == pytest.approx(loss, rel=1e-5)
    assert result.clip_share.item() == clipped
    result.value.backward()
    assert bool(logprobs.grad.any()) == moves


# value, old value, return, loss with clip 0.5, whether the clipped branch decided
VALUE_TABLE = [
    (1.0, 1.0, 3.0, 2.0, False),
    (2.0, 1.0, 3.0, 0.5 * 1.5**2, True),  # a jump of 1 counts as 0.5
    (2.0, 1.0, 1.5, 0.5 * 0.5**2, False),
    (-1.0, 1.0, 3.0, 8.0, False),  # moved away: the larger error counts
]


@pytest.mark.parametrize(("value", "old", "target", "loss", "clipped"), VALUE_TABLE)
def test_value_loss_by_hand(value, old, target, loss, clipped):
    result = clipping.value_loss(one(value), one(old), one(target), ALL, clip_range=0.5, num_tokens=1)
    assert result.value.item() == pytest.approx(loss)
    assert result.clip_share.item() == clipped


def test_with_ratio_1_the_policy_loss_is_minus_the_mean_advantage_over_real_tokens():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    logprobs, advantages = torch.randn(2, 3), torch.randn(2, 3)
    loss = clipping.policy_loss(logprobs, logprobs, advantages, mask, 0.2, num_tokens=3)
    assert loss.value.item() == pytest.approx(-advantages[mask].mean().item())
    assert loss.clip_share.item() == 0


def test_with_ratio_1_the_gradient_is_the_policy_gradient():
    logits, advantages = torch.randn(1, 4, 5, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    actions, mask = torch.tensor([[0, 3, 1, 1]]), torch.ones(1, 4, dtype=torch.bool)
    logits.requires_grad_()
    logprobs = logits.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    clipping.policy_loss(logprobs, logprobs.detach(), advantages, mask, 0.2, num_tokens=4).value.backward()
    one_hot = torch.nn.functional.one_hot(actions, 5)
    expected = -advantages.unsqueeze(-1) * (one_hot - logits.detach().softmax(-1)) / 4
    torch.testing.assert_close(logits.grad, expected)


def test_padding_has_no_loss_and_no_gradient_however_wild_it_is():
    mask = torch.tensor([[True, False]])
    wild = torch.tensor([[-1.0, 500.0]], requires_grad=True)
    old, target = torch.tensor([[-1.0, -500.0]]), torch.tensor([[1.0, 1e6]])
    for loss in (
        clipping.policy_loss(wild, old, target, mask, 0.2, num_tokens=1),
        clipping.value_loss(wild, old, target, mask, 0.2, num_tokens=1),
    ):
        wild.grad = None
        loss.value.backward()
        assert math.isfinite(loss.value.item())
        assert wild.grad[0, 1].item() == 0
        assert loss.clip_share.item() == 0


@pytest.mark.parametrize("loss", [clipping.policy_loss, clipping.value_loss])
def test_micro_batches_add_up_to_the_whole(loss):
    tensors = [torch.randn(6, 4) for _ in range(3)]
    mask = torch.rand(6, 4) < 0.6
    whole = loss(*tensors, mask, 0.2, num_tokens=int(mask.sum()))
    parts = [loss(*(x[s] for x in (*tensors, mask)), 0.2, num_tokens=int(mask.sum())) for s in (slice(2), slice(2, 6))]
    assert sum(part.value for part in parts).item() == pytest.approx(whole.value.item(), rel=1e-5)
    assert sum(part.clip_share for part in parts).item() == pytest.approx(whole.clip_share.item())


@pytest.mark.parametrize("loss", [clipping.policy_loss, clipping.value_loss])
def test_the_clip_share_is_a_share_of_the_real_tokens(loss):
    """Of four real tokens one has gained more than the clip allows: a policy's ratio, a value's way to its return."""
    new, old = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0]]), torch.zeros(1, 5)
    mask = torch.tensor([[True, True, True, True, False]])
    assert loss(new, old, torch.full((1, 5), 3.0), mask, 0.2, num_tokens=4).clip_share.item() == 0.25


# kl, expected factor with target 6, 256 episodes and a horizon of 10000
@pytest.mark.parametrize(
    ("kl", "factor"), [(6.0, 1), (6.6, 1 + 0.1 * 0.0256), (60.0, 1 + 0.2 * 0.0256), (-3.0, 1 - 0.2 * 0.0256)]
)
def test_the_kl_coefficient_follows_the_measured_kl_by_at_most_a_fifth_a_horizon(kl, factor):
    assert clipping.adapted_kl_coef(0.1, kl, 6.0, 10_000, 256) == pytest.approx(0.1 * factor)
