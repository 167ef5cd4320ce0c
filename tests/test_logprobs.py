"""Log-probabilities, entropy and exact KL."""

import math

import pytest
import torch

from stages.core import logprobs


def test_log_probabilities_of_tokens_by_hand():
    logits = torch.tensor([[[0.0, math.log(3.0)], [5.0, 5.0]]])
    expected = [[math.log(0.75), math.log(0.5)]]
    assert logprobs.of_tokens(logits, torch.tensor([[1, 0]]), 1.0).tolist() == [pytest.approx(expected[0])]


def test_temperature_divides_the_logits():
    logits = torch.randn(2, 3, 7)
    ids = torch.randint(7, (2, 3))
    expected = (logits / 0.5).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(logprobs.of_tokens(logits, ids, 0.5), expected)
    entropy = torch.distributions.Categorical(logits=logits / 0.5).entropy()
    torch.testing.assert_close(logprobs.entropy(logits, 0.5), entropy)


def test_probabilities_of_all_tokens_sum_to_1():
    logits = torch.randn(1, 1, 9).expand(1, 9, 9)
    assert logprobs.of_tokens(logits, torch.arange(9).unsqueeze(0), 0.7).exp().sum().item() == pytest.approx(1)


def test_entropy_is_largest_for_equal_logits():
    assert logprobs.entropy(torch.zeros(1, 1, 8), 1.0).item() == pytest.approx(math.log(8))
    assert logprobs.entropy(torch.tensor([[[100.0, 0.0, 0.0]]]), 1.0).item() == pytest.approx(0)


def test_kl_is_zero_for_one_policy_and_positive_for_two():
    logits, reference = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    assert logprobs.exact_kl(logits, logits + 3.0, 1.0).abs().max().item() == pytest.approx(0, abs=1e-6)
    assert (logprobs.exact_kl(logits, reference, 1.0) > 0).all()


def test_exact_kl_is_the_mean_of_sampled_log_ratios():
    logits, reference = torch.randn(1, 1, 5), torch.randn(1, 1, 5)
    sampled = torch.distributions.Categorical(logits=logits[0, 0] / 0.8).sample((200_000,)).unsqueeze(0)
    ratio = logprobs.of_tokens(logits.expand(1, 200_000, 5), sampled, 0.8)
    ratio = ratio - logprobs.of_tokens(reference.expand(1, 200_000, 5), sampled, 0.8)
    five_errors = 5 * (ratio.std() / 200_000**0.5).item()
    assert ratio.mean().item() == pytest.approx(logprobs.exact_kl(logits, reference, 0.8).item(), abs=five_errors)


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.randn(1, 2, 50, dtype=torch.bfloat16)
    ids = torch.tensor([[3, 4]])
    torch.testing.assert_close(logprobs.of_tokens(logits, ids, 1.0), logprobs.of_tokens(logits.float(), ids, 1.0))


def test_a_masked_mean_sees_real_tokens_only():
    mask = torch.tensor([[True, False], [True, True]])
    assert logprobs.masked_mean(torch.tensor([[1.0, 1e9], [2.0, 6.0]]), mask).item() == 3


def test_shapes_that_differ_are_shown():
    with pytest.raises(ValueError, match=r"\(1, 2, 5\).*\(1, 3\)"):
        logprobs.of_tokens(torch.zeros(1, 2, 5), torch.zeros(1, 3, dtype=torch.long), 1.0)
