"""DPO's loss: by hand on toys, at the reference, and what batches leave alone."""

import math

import pytest
import torch

from rlhf.dpo import objective
from rlhf.dpo.objective import Example
from rlhf.params.base import ParamsError, parse
from rlhf.params.training.dpo import Dpo
from rlhf.preferences import preference_training
from tests import toys
from tests.engine.test_low_rank import lora

RUNTIME = toys.runtime()


def params(**changes) -> Dpo:
    return toys.section(Dpo, "dpo", **{"micro_batch_rows": 1000, **changes})


def groups_of(tokenizer, comparisons: list[dict], chosen: Dpo):
    return preference_training.encode(tokenizer, comparisons, chosen).groups


def beside(reference, groups, chosen: Dpo) -> list[Example]:
    return objective.with_reference(reference, groups, chosen, RUNTIME)


def loss_and_gradients(model, examples, chosen: Dpo):
    return toys.gradients(model, objective.micro_batch_losses(model, examples, chosen, RUNTIME))


def log_probability(model, row) -> torch.Tensor:
    """Return log pi(answer | prompt) by transformers' own forward pass of the row alone."""
    ids = torch.tensor([row.ids])
    log_p = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    return log_p[-row.num_answer :].sum()


@pytest.fixture
def reference(tokenizer):
    return toys.policy(tokenizer, seed=5)


def test_what_is_asked_of_an_answer_is_its_tokens_log_probability_and_its_ends(policy, tokenizer):
    groups = groups_of(tokenizer, toys.comparisons(4), params())
    rows = [row for group in groups for row in group.rows]
    assert all(row.ids[-1] == tokenizer.eos_token_id for row in rows)
    found = objective.answer_logprobs(policy, [group.rows for group in groups], RUNTIME)
    expected = torch.stack([log_probability(policy, row) for row in rows])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1


def test_the_gradient_pulls_the_better_answer_up_and_the_worse_down_by_how_wrong_the_rewards_are(
    policy, reference, tokenizer
):
    """beta sigmoid(r_worse - r_better) (grad log pi(worse) - grad log pi(better)): Rafailov et al. 2023, section 4."""
    comparison = toys.comparisons(2)[1]
    comparison["responses"] = comparison["responses"][:2]
    comparison["labels"] = [{"labeler": "a", "ranks": [2, 1]}]
    chosen = params(beta=0.3)
    examples = beside(reference, groups_of(tokenizer, [comparison], chosen), chosen)
    (example,) = examples
    assert example.pairs == [(1, 0)]
    worse, better = (log_probability(policy, row) for row in example.rows)
    with torch.no_grad():
        worse_before, better_before = (log_probability(reference, row) for row in example.rows)
    reward_of_better, reward_of_worse = 0.3 * (better - better_before), 0.3 * (worse - worse_before)
    loss, gradients, measures = loss_and_gradients(policy, examples, chosen)
    margin = (reward_of_better - reward_of_worse).item()
    assert abs(margin) > 0.05
    assert loss == pytest.approx(math.log(1 + math.exp(-margin)), rel=1e-4)
    told = objective.described(measures)
    assert told["reward_of_better"] == pytest.approx(reward_of_better.item(), rel=1e-3, abs=1e-4)
    assert told["reward_of_worse"] == pytest.approx(reward_of_worse.item(), rel=1e-3, abs=1e-4)
    assert told["accuracy"] == (margin > 0)
    weights = [*policy.parameters()]
    up, down = (torch.autograd.grad(one, weights, retain_graph=True) for one in (better, worse))
    share = 0.3 / (1 + math.exp(margin))
    for found, more, less in zip(gradients, up, down, strict=True):
        torch.testing.assert_close(found, share * (less - more), rtol=2e-3, atol=1e-5)


def test_a_prompts_loss_is_the_mean_over_all_labelers_ordered_pairs_and_ties_give_none(policy, reference, tokenizer):
    comparison = toys.comparisons(1)[0]
    comparison["labels"] = [{"labeler": "a", "ranks": [1, 1, 2]}, {"labeler": "b", "ranks": [2, 1, 3]}]
    chosen = params(beta=0.5)
    (example,) = beside(reference, groups_of(tokenizer, [comparison], chosen), chosen)
    assert example.pairs == [(0, 2), (1, 2), (1, 0), (0, 2), (1, 2)]
    with torch.no_grad():
        rewards = [0.5 * (log_probability(policy, row) - log_probability(reference, row)) for row in example.rows]
    expected = sum(-torch.nn.functional.logsigmoid(rewards[b] - rewards[w]) for b, w in example.pairs) / 5
    loss, _, measures = loss_and_gradients(policy, [example], chosen)
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert measures["pairs"] == 5


def test_prompts_whose_answers_are_all_tied_are_left_out(tokenizer):
    tied, ranked = toys.comparisons(2)
    tied["labels"] = [{"labeler": "labeler_1", "ranks": [1, 1, 1]}]
    assert len(groups_of(tokenizer, [tied, ranked], params())) == 1
    with pytest.raises(ValueError, match="ranked apart"):
        groups_of(tokenizer, [tied], params())


@pytest.mark.parametrize("beta", [0.05, 1.0, 20.0])
def test_where_policy_and_reference_are_equal_the_loss_is_log_2_whatever_beta(policy, tokenizer, beta):
    chosen = params(beta=beta)
    examples = beside(policy, groups_of(tokenizer, toys.comparisons(5), chosen), chosen)
    loss, gradients, measures = loss_and_gradients(policy, examples, chosen)
    assert loss == pytest.approx(math.log(2), abs=1e-3)
    assert objective.described(measures)["reward_of_better"] == pytest.approx(0, abs=1e-3)
    assert max(gradient.abs().max() for gradient in gradients) > 1e-3, "it learns from there"


def test_pairs_that_the_rewards_tie_count_half(policy, tokenizer):
    """Equal answers cannot be told apart."""
    comparison = toys.comparisons(1)[0]
    comparison["responses"] = ["red fox.", "red fox."]
    comparison["labels"] = [{"labeler": "a", "ranks": [1, 2]}]
    chosen = params()
    examples = beside(policy, groups_of(tokenizer, [comparison], chosen), chosen)
    assert objective.described(loss_and_gradients(policy, examples, chosen)[2])["accuracy"] == 0.5


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_micro_batches_change_neither_loss_nor_gradient_nor_measures(policy, reference, tokenizer, rows):
    chosen = params(beta=0.3)
    examples = beside(reference, groups_of(tokenizer, toys.comparisons(5), chosen), chosen)
    whole, gradients, measures = loss_and_gradients(policy, examples, chosen)
    parts, others, also = loss_and_gradients(policy, examples, params(beta=0.3, micro_batch_rows=rows))
    assert parts == pytest.approx(whole, rel=1e-4)
    assert also == pytest.approx(measures, rel=1e-3, abs=1e-4)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-5)


def test_each_prompt_counts_once_however_many_answers_it_has(policy, reference, tokenizer):
    first, second = toys.comparisons(2)
    second["responses"].append("violet")
    second["labels"] = [{"labeler": "labeler_1", "ranks": [1, 2, 2, 3]}]
    chosen = params()
    examples = beside(reference, groups_of(tokenizer, [first, second], chosen), chosen)
    each = [loss_and_gradients(policy, [example], chosen)[0] for example in examples]
    assert loss_and_gradients(policy, examples, chosen)[0] == pytest.approx(sum(each) / 2, rel=1e-4)


def test_the_reference_stays_what_the_policy_was(policy, tokenizer):
    """It is read before the first update, in parts of any size."""
    groups = groups_of(tokenizer, toys.comparisons(5), params())
    before = beside(policy, groups, params())
    again = beside(policy, groups, params(micro_batch_rows=3))
    assert [example.rows for example in before] == [group.rows for group in groups]
    for one, other in zip(before, again, strict=True):
        assert one.reference == pytest.approx(other.reference, abs=1e-4)
        assert len(one.reference) == len(one.rows)


def test_validation_says_what_training_would_and_changes_nothing(policy, reference, tokenizer):
    chosen = params(beta=0.3)
    examples = beside(reference, groups_of(tokenizer, toys.comparisons(5), chosen), chosen)
    loss, _, measures = loss_and_gradients(policy, examples, chosen)
    policy.train()
    found = objective.validate(policy, examples, params(beta=0.3, micro_batch_rows=3), RUNTIME)
    assert policy.training
    assert found["validation_loss"] == pytest.approx(loss, rel=1e-4)
    for name, value in objective.described(measures).items():
        assert found[f"validation_{name}"] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_dropout_of_adapters_is_refused():
    adapters = lora(dropout=0.1).model_dump()
    with pytest.raises(ParamsError, match=r"dpo: lora\.dropout must be 0"):
        parse(Dpo, toys.shrunken_params()["dpo"] | {"lora": adapters}, "dpo")
