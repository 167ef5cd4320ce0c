"""Supervised fine-tuning: which tokens teach, and what batches and packing leave alone."""

import pytest
import torch

from rlhf.params.sft import SftInputs
from rlhf.training import epochs, supervised
from tests import toys

RUNTIME = toys.runtime()
Supervised = SftInputs.model_fields["sft"].annotation


def params(**changes):
    return toys.section(Supervised, "sft", **{"packing": False, "micro_batch_rows": 100, **changes})


@pytest.fixture
def examples(tokenizer):
    return supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=48).examples


def loss_and_gradients(model, tokenizer, examples, chosen):
    return toys.gradients(model, supervised.micro_batch_losses(model, examples, chosen, RUNTIME))[:2]


@pytest.mark.parametrize("lm_coef", [0.0, 0.5])
@pytest.mark.parametrize("changes", [{"micro_batch_rows": 1}, {"micro_batch_rows": 4}, {"packing": True}])
def test_neither_micro_batches_nor_packing_change_loss_or_gradient(policy, tokenizer, examples, changes, lm_coef):
    loss, gradients = loss_and_gradients(policy, tokenizer, examples, params(lm_coef=lm_coef))
    other_loss, others = loss_and_gradients(policy, tokenizer, examples, params(lm_coef=lm_coef, **changes))
    assert other_loss == pytest.approx(loss, rel=1e-5)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_over_all_assistants_tokens_of_the_batch(policy, tokenizer, examples):
    loss, _ = loss_and_gradients(policy, tokenizer, examples, params())
    losses = []
    for _, ids, mask in examples:
        log_p = policy(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-log_p[t - 1, ids[t]].item() for t in range(1, len(ids)) if mask[t]]
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_the_auxiliary_loss_is_the_mean_over_all_tokens(policy, tokenizer, examples):
    plain, _ = loss_and_gradients(policy, tokenizer, examples, params())
    both, _ = loss_and_gradients(policy, tokenizer, examples, params(lm_coef=0.5))
    losses = []
    for _, ids, _ in examples:
        log_p = policy(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-log_p[t - 1, ids[t]].item() for t in range(1, len(ids))]
    assert both - plain == pytest.approx(0.5 * sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("packing", [True, False])
def test_the_gradient_is_that_of_the_assistants_tokens_alone(policy, tokenizer, examples, packing):
    """Nothing comes from given tokens, other examples or padding: each example by itself, by transformers."""
    found = loss_and_gradients(policy, tokenizer, examples, params(packing=packing))[1]
    total, count = 0.0, 0
    for example in examples:
        ids, counted = torch.tensor([example.ids]), torch.tensor(example.assistant_mask[1:])
        log_p = policy(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
        total, count = total - log_p[counted].sum(), count + int(counted.sum())
    for one, other in zip(found, torch.autograd.grad(total / count, policy.parameters()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_demonstrations_that_are_too_long_are_left_out_and_counted(tokenizer):
    encoded = supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=10)
    assert len(encoded.examples) + encoded.num_too_long == 6
    assert encoded.num_too_long > 0
    assert max(len(example.ids) for example in encoded.examples) <= 10
    with pytest.raises(ValueError, match="none of 6 demonstrations fits into max_tokens 2"):
        supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=2)


def test_a_dialogue_of_very_many_turns_that_does_not_fit_is_rendered_once(tokenizer, monkeypatch):
    """A mask takes the square of the turns: of a dialogue that fits, max_tokens bounds it."""
    long, short = toys.demonstrations(2)
    short["messages"] = short["messages"][-1:]
    long["messages"] = [{"role": role, "content": "a"} for _ in range(300) for role in ("user", "assistant")]
    rendered, render = [], tokenizer.apply_chat_template
    monkeypatch.setattr(
        tokenizer, "apply_chat_template", lambda *given, **more: rendered.append(1) or render(*given, **more)
    )
    encoded = supervised.encode(tokenizer, [long, short], max_tokens=48)
    assert (len(encoded.examples), encoded.num_too_long, len(rendered)) == (1, 1, 2)


def run(model, tokenizer, examples, validation, chosen, seed=1) -> list[dict]:
    return list(supervised.train(model, supervised.Data(examples, validation), chosen, RUNTIME, seed))


def fast(**changes) -> dict:
    return {"optimisation": {"learning_rate": 0.03, "schedule": "constant"}, **changes}


def test_training_lowers_the_loss_and_counts_its_steps(tokenizer, examples):
    chosen = params(**fast(epochs=12))
    curve = run(toys.policy(tokenizer), tokenizer, examples, examples, chosen)
    assert len(curve) == epochs.count_steps(6, chosen) == 24
    assert [point["step"] for point in curve] == list(range(1, 25))
    assert curve[-1]["validation_loss"] < 0.3 * curve[0]["loss"]
    assert [point["step"] for point in curve if "validation_loss" in point] == list(range(2, 25, 2))


def test_the_best_epochs_weights_are_kept(tokenizer, examples):
    """Training on some demonstrations makes others worse in the end: the best epoch is not the last."""
    losses = {}
    for select in ("best_validation", "last"):
        model = toys.policy(tokenizer)
        curve = run(model, tokenizer, examples[:4], examples[4:], params(**fast(epochs=10, select=select)))
        measured = [point["validation_loss"] for point in curve if "validation_loss" in point]
        assert min(measured) < measured[-1]
        after = supervised.validate(model, examples[4:], params(), RUNTIME)
        losses[select] = (after, measured)
    assert losses["best_validation"][0] == pytest.approx(min(losses["best_validation"][1]), rel=1e-6)
    assert losses["last"][0] == pytest.approx(losses["last"][1][-1], rel=1e-6)


def test_validation_is_without_dropout_and_changes_nothing(tokenizer, examples):
    model = toys.policy(tokenizer, "gpt2")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    before = [weight.clone() for weight in model.parameters()]
    losses = {supervised.validate(model, examples, params(packing=packing), RUNTIME) for packing in (False, False)}
    assert len(losses) == 1
    assert model.training
    assert all(torch.equal(weight, other) for weight, other in zip(model.parameters(), before, strict=True))


def test_the_seed_decides_the_order_and_nothing_else_does(tokenizer, examples):
    curves = []
    for seed in (1, 1, 2):
        torch.rand(len(curves) + 1)
        curves.append([point["loss"] for point in run(toys.policy(tokenizer), tokenizer, examples, [], params(), seed)])
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]
