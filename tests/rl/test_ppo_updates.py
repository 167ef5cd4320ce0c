"""One PPO update: the first ratio is 1, only completions teach, micro-batches change nothing."""

import pytest
import torch

from rlhf.params.ppo import Ppo
from rlhf.rl import advantages, experience, updates
from rlhf.rl.experience import Models
from rlhf.training import language_modelling
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8}
    return toys.section(Ppo, "ppo", **{**usual, **changes})


@pytest.fixture(params=["llama", "gpt2"])
def models(request, tokenizer, tmp_path):
    return toys.models(tokenizer, tmp_path, request.param)


class Batch:
    """One gathered batch with what its updates need."""

    def __init__(self, models: Models, chosen: Ppo):
        self.models = models
        self.seen = experience.gather(
            models, ppo.tokenised(models.tokenizer, toys.prompts(8), chosen), chosen, RUNTIME, seed=3
        )
        mask = self.seen.completion_mask
        rewards = advantages.shape_rewards(
            self.seen.scores, self.seen.logprobs, self.seen.reference_logprobs, mask, chosen.kl_coef
        )
        self.estimate = advantages.gae(rewards, self.seen.values, mask, chosen.gamma, chosen.lam)
        self.whitened = advantages.whiten(self.estimate.advantages, mask)

    def policy(self, chosen: Ppo, rows=None, ptx=None):
        rows = torch.arange(8) if rows is None else rows
        parts = updates.policy_losses(self.models, toys.targets(self.seen, self.whitened), rows, ptx, chosen, RUNTIME)
        return toys.gradients(self.models.policy, parts)

    def value(self, chosen: Ppo):
        rows = torch.arange(8)
        parts = updates.value_losses(self.models, toys.targets(self.seen, self.estimate.returns), rows, chosen, RUNTIME)
        return toys.gradients(self.models.value_model, parts)


def assert_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for gradient, also in zip(one, other, strict=True):
        torch.testing.assert_close(also, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_before_the_first_update_every_ratio_is_exactly_1(models, temperature):
    chosen = params(temperature=temperature)
    batch = Batch(models, chosen)
    assert len(set(batch.seen.mask.sum(dim=1).tolist())) > 2  # episodes must be padded, or this test says nothing
    loss, _, learned = batch.policy(chosen)
    assert learned["approx_kl"] == 0.0
    assert learned["clip_share"] == 0.0
    assert loss == pytest.approx(-batch.whitened[batch.seen.completion_mask].mean().item(), abs=1e-6)


def test_before_the_first_update_ratios_are_1_in_any_order_of_rows(models):
    batch, rows = Batch(models, params()), torch.randperm(8)[:5]
    loss, _, learned = batch.policy(params(micro_batch_size=3), rows)
    expected = -batch.whitened[rows][batch.seen.completion_mask[rows]].mean().item()
    assert loss == pytest.approx(expected, rel=1e-4)
    assert learned["approx_kl"] < 1e-10


@pytest.mark.parametrize("size", [1, 3])
def test_micro_batches_change_neither_losses_nor_gradients(models, size):
    batch = Batch(models, params())
    ptx = torch.randint(5, 300, (4, 9))
    expected = batch.policy(params(ptx_coef=0.5), ptx=ptx)
    parts = batch.policy(params(ptx_coef=0.5, micro_batch_size=size), ptx=ptx)
    assert parts[0] == pytest.approx(expected[0], rel=1e-4)
    assert_same(expected[1], parts[1])
    expected = batch.value(params())
    parts = batch.value(params(micro_batch_size=size))
    assert parts[0] == pytest.approx(expected[0], rel=1e-5)
    assert_same(expected[1], parts[1])


def test_the_gradient_is_that_of_the_completions_alone(models):
    """Nothing comes from prompts or padding: each episode by itself, unpadded, by transformers and plain autograd."""
    chosen = params(temperature=0.7)
    batch = Batch(models, chosen)
    found = batch.policy(chosen)[1]
    seen, total = batch.seen, 0.0
    for row in range(8):
        real = seen.completion_mask[row]
        ids, count = seen.ids[row][seen.mask[row]], int(real.sum())
        log_p = (models.policy(input_ids=ids[None]).logits[0, -1 - count : -1] / 0.7).log_softmax(-1)
        current = log_p.gather(-1, ids[-count:, None]).squeeze(-1)
        total = total - (batch.whitened[row][real] * (current - seen.logprobs[row][real]).exp()).sum()
    expected = torch.autograd.grad(total / seen.completion_mask.sum(), models.policy.parameters())
    assert_same(found, list(expected))


def test_finite_differences_confirm_the_gradient(models):
    """Where the policies differ and some ratios are clipped, the loss's slope by three weights is its gradient."""
    chosen = params(clip_range=0.3)
    batch = Batch(models, chosen)
    batch.seen = batch.seen._replace(logprobs=batch.seen.logprobs + 0.1 * torch.randn(batch.seen.logprobs.shape))
    gradients = batch.policy(chosen)[1]
    weights = list(models.policy.parameters())
    step = 3e-3
    for number in (0, len(weights) // 2, len(weights) - 1):
        weight, gradient = weights[number], gradients[number]
        place = gradient.abs().argmax()
        losses = []
        for change in (step, -step):
            weight.data.view(-1)[place] += change
            losses.append(batch.policy(chosen)[0])
            weight.data.view(-1)[place] -= change
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(gradient.view(-1)[place].item(), rel=0.03, abs=2e-4)


def test_an_update_moves_log_probabilities_with_their_advantages(models):
    chosen = params(policy_optimisation={"learning_rate": 1e-3, "warmup_steps": 0}, kl_coef=0.0)
    batch = Batch(models, chosen)
    loss, direction, _ = batch.policy(chosen)
    step = 1e-4
    with torch.no_grad():
        for weight, gradient in zip(models.policy.parameters(), direction, strict=True):
            weight -= step * gradient
    later = batch.policy(chosen)[0]
    squared = sum((gradient**2).sum().item() for gradient in direction)
    assert (loss - later) / step == pytest.approx(squared, rel=0.1)  # a finite difference along the gradient


def test_pretraining_text_adds_its_own_gradient(models):
    batch = Batch(models, params())
    ptx = torch.randint(5, 300, (4, 9))
    plain = batch.policy(params())[1]
    both = batch.policy(params(ptx_coef=27.8), ptx=ptx)[1]
    text = toys.gradients(models.policy, language_modelling.micro_batch_losses(models.policy, ptx, 4, RUNTIME))[1]
    for one, other, whole in zip(plain, text, both, strict=True):
        torch.testing.assert_close(one + 27.8 * other, whole, rtol=1e-3, atol=1e-4)
