"""Log-probabilities, entropy and exact KL."""

import math

import pytest
import torch

from rlhf.engine import logprobs


@pytest.fixture(params=[2**22, 40])
def head(request, monkeypatch):
    """A head with a bias, over 9 tokens; all logits at once, or those of four rows."""
    monkeypatch.setattr(logprobs, "MOST_LOGITS", request.param)
    torch.manual_seed(0)
    return torch.nn.Linear(5, 9)


def of(layer: torch.nn.Linear) -> logprobs.Head:
    return logprobs.Head(layer.weight, layer.bias)


def test_log_probabilities_of_tokens_by_hand():
    log_p = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]]).log_softmax(-1)
    expected = [math.log(0.75), math.log(0.5)]
    assert logprobs.of_tokens(log_p, torch.tensor([1, 0])).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_of_hidden_states_and_their_gradients_are_those_of_whole_logits(head, temperature):
    hidden, ids, share = torch.randn(11, 5, requires_grad=True), torch.randint(9, (11,)), torch.randn(11)
    leaves = (hidden, head.weight, head.bias)
    found = logprobs.of_hidden(hidden, of(head), ids, temperature)
    expected = (head(hidden) / temperature).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found, expected)
    gradients, wanted = (torch.autograd.grad((each * share).sum(), leaves) for each in (found, expected))
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(("scale", "cap"), [(0.25, None), (3.0, 2.0), (1.0, 0.7)])
def test_a_head_that_scales_and_caps_its_logits_has_its_own_gradients(head, scale, cap, temperature):
    hidden, ids, share = torch.randn(11, 5, requires_grad=True), torch.randint(9, (11,)), torch.randn(11)
    of_head = logprobs.Head(head.weight, head.bias, scale, cap)
    logits = scale * head(hidden) if cap is None else cap * torch.tanh(scale * head(hidden) / cap)
    expected = (logits / temperature).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    found = logprobs.of_hidden(hidden, of_head, ids, temperature)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logprobs.logits(hidden, of_head), logits, rtol=1e-4, atol=1e-5)
    leaves = (hidden, head.weight, head.bias)
    gradients, wanted = (torch.autograd.grad((each * share).sum(), leaves) for each in (found, expected))
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    measured = logprobs.measured(hidden.detach(), of_head, hidden.detach(), of_head, ids, temperature)
    torch.testing.assert_close(measured.logprobs, expected.detach(), rtol=1e-4, atol=1e-5)
    assert measured.kls.abs().max() < 1e-5


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_what_ppo_asks_of_two_models_is_what_whole_logits_say(head, temperature):
    torch.manual_seed(1)
    hidden, other_hidden, other_head = torch.randn(11, 5), torch.randn(11, 4), torch.nn.Linear(4, 9)
    ids = torch.randint(9, (11,))
    p, q = (
        torch.distributions.Categorical(logits=layer(states).detach() / temperature)
        for layer, states in ((head, hidden), (other_head, other_hidden))
    )
    found = logprobs.measured(hidden, of(head), other_hidden, of(other_head), ids, temperature)
    for one, expected in zip(
        found, (p.log_prob(ids), q.log_prob(ids), p.entropy(), torch.distributions.kl_divergence(p, q)), strict=True
    ):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(
        found.logprobs, logprobs.of_hidden(hidden, of(head), ids, temperature)
    )  # PPO's ratio is exactly 1


def test_the_gradient_of_many_rows_makes_no_more_logits_at_once_than_allowed(monkeypatch):
    """What a training step keeps and makes does not grow with rows times vocabulary."""
    monkeypatch.setattr(logprobs, "MOST_LOGITS", 3000)
    largest = 0
    scaled = logprobs._Logits.scaled

    def watched(*arguments):
        nonlocal largest
        found = scaled(*arguments)
        largest = max(largest, found.numel())
        return found

    monkeypatch.setattr(logprobs._Logits, "scaled", watched)
    head, hidden = torch.nn.Linear(4, 1000), torch.randn(50, 4, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda x: x):
        loss = logprobs.of_hidden(hidden, of(head), torch.randint(1000, (50,))).sum()
    loss.backward()
    assert largest == 3000
    assert max(kept) == head.weight.numel()


def test_probabilities_of_all_tokens_sum_to_1(head):
    hidden = torch.randn(1, 5).expand(9, 5)
    assert logprobs.of_hidden(hidden, of(head), torch.arange(9), 0.7).exp().sum().item() == pytest.approx(1)


def test_entropy_is_largest_for_equal_logits():
    assert logprobs.entropy(torch.zeros(1, 8).log_softmax(-1)).item() == pytest.approx(math.log(8))
    assert logprobs.entropy(torch.tensor([[100.0, 0.0, 0.0]]).log_softmax(-1)).item() == pytest.approx(0)


def test_kl_is_zero_for_one_policy_and_positive_for_two():
    log_p, log_q = torch.randn(2, 3, 7).log_softmax(-1), torch.randn(2, 3, 7).log_softmax(-1)
    assert logprobs.exact_kl(log_p, log_p).abs().max().item() == 0
    assert (logprobs.exact_kl(log_p, log_q) > 0).all()


def test_sampled_estimates_of_kl_agree_with_the_exact_one():
    """k1 and k3 in expectation; k2, which is biased, with its own expectation (Schulman 2020)."""
    torch.manual_seed(0)
    log_p, log_q = (0.8 * torch.randn(2, 5)).log_softmax(-1)
    sampled = torch.distributions.Categorical(logits=log_p).sample((200_000,))
    ratio = (log_p - log_q)[sampled]  # log pi - log ref
    exact = logprobs.exact_kl(log_p, log_q).item()
    second = (log_p.exp() * (log_p - log_q) ** 2 / 2).sum().item()
    for estimate, expected in ((ratio, exact), ((-ratio).exp() - 1 + ratio, exact), (ratio**2 / 2, second)):
        five_errors = 5 * (estimate.std() / len(estimate) ** 0.5).item()
        assert estimate.mean().item() == pytest.approx(expected, abs=five_errors)
    assert abs(second - exact) > 0.01  # the toys must differ enough to tell k2 from KL


def test_products_in_half_precision_are_summed_in_float32(head):
    hidden, ids = torch.randn(6, 5), torch.randint(9, (6,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = logprobs.of_hidden(hidden, of(head), ids)
    product = (hidden.bfloat16() @ head.weight.bfloat16().t()).float()  # the bias is added in float32
    expected = (product + head.bias).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_masked_mean_sees_real_tokens_only():
    mask = torch.tensor([[True, False], [True, True]])
    assert logprobs.masked_mean(torch.tensor([[1.0, 1e9], [2.0, 6.0]]), mask).item() == 3


def test_shapes_that_differ_are_shown():
    with pytest.raises(ValueError, match=r"\(1, 2, 5\).*\(1, 3\)"):
        logprobs.of_tokens(torch.zeros(1, 2, 5), torch.zeros(1, 3, dtype=torch.long))
