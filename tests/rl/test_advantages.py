"""Rewards a token, generalised advantages and whitening."""

import pytest
import torch

from rlhf.rl import advantages

MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)


def draws(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randn(MASK.shape, generator=generator, dtype=torch.float64)
    return rewards * MASK, torch.randn(MASK.shape, generator=generator, dtype=torch.float64)


def test_advantages_are_the_discounted_sum_of_all_later_errors():
    rewards, values = draws()
    gamma, lam = 0.9, 0.8
    estimate = advantages.gae(rewards, values, MASK, gamma, lam)
    for row, length in enumerate(MASK.sum(dim=1).tolist()):
        later = [*values[row, 1:length].tolist(), 0.0]
        errors = [rewards[row, t].item() + gamma * later[t] - values[row, t].item() for t in range(length)]
        for t in range(length):
            expected = sum((gamma * lam) ** (s - t) * errors[s] for s in range(t, length))
            assert estimate.advantages[row, t].item() == pytest.approx(expected, abs=1e-12)


def test_without_discounts_an_advantage_is_the_reward_to_go_minus_the_value():
    rewards, values = draws()
    estimate = advantages.gae(rewards, values, MASK, gamma=1.0, lam=1.0)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(estimate.advantages, (to_go - values) * MASK)
    torch.testing.assert_close(estimate.returns, to_go * MASK)


def test_with_lambda_0_an_advantage_is_the_error_of_one_step():
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.5, 0.25, 8.0]])
    estimate = advantages.gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=0.5, lam=0.0)
    torch.testing.assert_close(estimate.advantages, torch.tensor([[1 + 0.125 - 0.5, 2 + 4 - 0.25, 4 - 8.0]]))


def test_what_stands_in_padding_changes_no_advantage():
    rewards, values = draws()
    estimate = advantages.gae(rewards, values, MASK, 0.99, 0.95)
    soiled = advantages.gae(rewards, values.masked_fill(~MASK, 1e6), MASK, 0.99, 0.95)
    torch.testing.assert_close(soiled.advantages, estimate.advantages)
    torch.testing.assert_close(soiled.returns, estimate.returns)
    assert not estimate.advantages[~MASK].any()
    assert not estimate.returns[~MASK].any()


def test_more_padding_changes_no_advantage():
    rewards, values = draws()
    wide = torch.nn.functional.pad(MASK, (0, 3))
    estimate = advantages.gae(rewards, values, MASK, 0.99, 0.95)
    padded = advantages.gae(
        *(torch.nn.functional.pad(x, (0, 3), value=7.0) for x in (rewards, values)), wide, 0.99, 0.95
    )
    torch.testing.assert_close(padded.advantages[:, :5], estimate.advantages)


def test_the_score_lands_on_the_last_real_token():
    zeros = torch.zeros(MASK.shape)
    rewards = advantages.shape_rewards(torch.tensor([1.0, 2.0, 3.0]), zeros, zeros, MASK, kl_coef=0.5)
    expected = [[0, 0, 1.0, 0, 0], [0, 0, 0, 0, 2.0], [3.0, 0, 0, 0, 0]]
    assert rewards.tolist() == expected


def test_each_token_pays_for_its_distance_from_the_reference():
    policy, reference = torch.full(MASK.shape, -1.0), torch.full(MASK.shape, -3.0)
    rewards = advantages.shape_rewards(torch.zeros(3), policy, reference, MASK, kl_coef=0.1)
    torch.testing.assert_close(rewards, -0.2 * MASK.float())
    nearer = advantages.shape_rewards(torch.zeros(3), reference, policy, MASK, kl_coef=0.1)
    torch.testing.assert_close(nearer, 0.2 * MASK.float())  # k1 may be negative: nothing clamps it


def test_whitened_values_have_mean_0_and_variance_1_over_real_tokens():
    values = draws()[1] * 5 + 3
    whitened = advantages.whiten(values.masked_fill(~MASK, 1e6), MASK)
    assert whitened[MASK].mean().item() == pytest.approx(0, abs=1e-9)
    assert whitened[MASK].var(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert not whitened[~MASK].any()


def test_whitening_without_a_shift_keeps_the_mean():
    values = draws()[1] * 5 + 3
    whitened = advantages.whiten(values, MASK, shift_mean=False)
    assert whitened[MASK].mean().item() == pytest.approx(values[MASK].mean().item())
    assert whitened[MASK].var(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_equal_values_whiten_to_zero():
    assert advantages.whiten(torch.full((2, 2), 5.0), torch.ones(2, 2, dtype=torch.bool)).tolist() == [[0, 0], [0, 0]]


def test_shapes_that_differ_are_shown():
    one, other = torch.zeros(2, 3), torch.zeros(2, 4)
    with pytest.raises(ValueError, match=r"rewards.*\(2, 3\).*values.*\(2, 4\)"):
        advantages.gae(one, other, other.bool(), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"logprobs.*\(2, 3\)"):
        advantages.shape_rewards(torch.zeros(2), one, other, other.bool(), 0.1)


TABLE = torch.tensor([1.0, 2.0, 6.0, -1.0, 0.0, 4.0])  # of two prompts, answered three times each


def test_left_out_means_are_those_of_a_prompts_other_answers():
    assert advantages.leave_one_out(TABLE, 3).tolist() == [4.0, 3.5, 1.5, 2.0, 1.5, -0.5]


def six_answers() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rewards, values and mask of two prompts' answers; a value before the first token is its prompt's."""
    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(4) < torch.tensor([1, 4, 2, 3, 3, 4]).unsqueeze(1)
    rewards = torch.randn(6, 4, generator=generator, dtype=torch.float64) * mask
    values = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    values[:, 0] = torch.tensor([0.5, 0.5, 0.5, -2.0, -2.0, -2.0])
    return rewards, values, mask


@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
def test_a_score_without_its_offset_gives_the_advantages_of_a_value_model_moved_by_it(lam):
    rewards, values, mask = six_answers()
    offsets = advantages.prompt_offsets(rewards, values, mask, 3, gamma=1.0)
    moved = advantages.gae(advantages.without_offsets(rewards, offsets, mask), values, mask, 1.0, lam).advantages
    expected = advantages.gae(rewards, values + offsets.unsqueeze(1), mask, 1.0, lam).advantages
    torch.testing.assert_close(moved, expected)


def test_the_first_tokens_advantage_is_the_papers_leave_one_out():
    """RLOO (Ahmadian et al. 2024): the answer's reward less the mean of the others', whatever the value model says."""
    rewards, values, mask = six_answers()
    offsets = advantages.prompt_offsets(rewards, values, mask, 3, gamma=1.0)
    moved = advantages.without_offsets(rewards, offsets, mask)
    first = advantages.gae(moved, values, mask, gamma=1.0, lam=1.0).advantages[:, 0]
    totals = [sum(row) for row in rewards.tolist()]
    for index, total in enumerate(totals):
        others = [totals[other] for other in range(index // 3 * 3, index // 3 * 3 + 3) if other != index]
        assert first[index].item() == pytest.approx(total - sum(others) / 2, abs=1e-12)


def test_offsets_discount_what_comes_late_and_read_no_padding():
    rewards, values = torch.tensor([[1.0, 4.0], [2.0, 100.0]]), torch.tensor([[0.25, 9.0], [0.25, 9.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert advantages.prompt_offsets(rewards, values, mask, 2, gamma=0.5).tolist() == [2 - 0.25, 1 + 2 - 0.25]
