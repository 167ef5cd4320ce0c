"""Training a reward model on ranked answers."""

import copy

import pytest
import torch

from rlhf.params.reward_model import RewardModel
from rlhf.preferences import preference_training, reward_accuracy, rewards
from rlhf.runs import checkpoints
from rlhf.runtime import failures, seeds
from rlhf.tokens import batching
from tests import toys

RUNTIME = toys.runtime()


def params(**changes):
    return toys.section(RewardModel, "reward_model", **{"micro_batch_rows": 1000, "likelihood_coef": 0.0, **changes})


def loss_and_gradients(model, groups, chosen):
    return toys.gradients(model, preference_training.micro_batch_losses(model, groups, chosen, RUNTIME))


@pytest.mark.parametrize(("loss", "likelihood_coef"), [("rank", 0.0), ("rank", 3.0), ("direct", 0.0)])
@pytest.mark.parametrize("rows", [2, 3, 7])
def test_micro_batches_change_neither_loss_nor_gradient(reward_model, tokenizer, loss, rows, likelihood_coef):
    chosen = {"loss": loss, "likelihood_coef": likelihood_coef}
    groups = preference_training.encode(tokenizer, toys.comparisons(5), params(**chosen)).groups
    whole, gradients, right = loss_and_gradients(reward_model, groups, params(**chosen))
    parts, others, also_right = loss_and_gradients(reward_model, groups, params(**chosen, micro_batch_rows=rows))
    assert parts == pytest.approx(whole, rel=1e-5)
    assert also_right == right
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-6)


def test_each_prompt_counts_once_however_many_answers_it_has(reward_model, tokenizer):
    first, second = toys.comparisons(2)
    second["responses"].append("violet")
    second["labels"] = [{"labeler": "labeler_1", "ranks": [1, 2, 2, 3]}]
    groups = preference_training.encode(tokenizer, [first, second], params()).groups
    each = [loss_and_gradients(reward_model, [group], params())[0] for group in groups]
    assert loss_and_gradients(reward_model, groups, params())[0] == pytest.approx(sum(each) / 2, rel=1e-5)


def test_a_prompts_loss_is_the_mean_over_all_labelers_ordered_pairs(reward_model, tokenizer):
    comparison = toys.comparisons(1)[0]
    comparison["labels"] = [{"labeler": "a", "ranks": [1, 1, 2]}, {"labeler": "b", "ranks": [2, 1, 3]}]
    groups = preference_training.encode(tokenizer, [comparison], params(pooling="last")).groups
    assert groups[0].pairs == [(0, 2), (1, 2), (1, 0), (0, 2), (1, 2)]
    scores = torch.stack([reward_model(input_ids=torch.tensor([row.ids])).logits[0, 0] for row in groups[0].rows])
    expected = sum(-torch.nn.functional.logsigmoid(scores[b] - scores[w]) for b, w in groups[0].pairs) / 5
    loss = loss_and_gradients(reward_model, groups, params(pooling="last"))[0]
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_rows_are_prompt_and_answer_as_the_scorer_sees_them(tokenizer):
    comparison = toys.comparisons(1)[0]
    group = preference_training.encode(tokenizer, [comparison], params()).groups[0]
    assert group.rows == [rewards.sequence(tokenizer, comparison["messages"], r, 48) for r in comparison["responses"]]


def test_prompts_whose_answers_are_all_tied_teach_ranking_nothing_and_are_left_out(tokenizer):
    tied, ranked = toys.comparisons(2)
    tied["labels"] = [{"labeler": "labeler_1", "ranks": [1, 1, 1], "scores": [4.0, 4.0, 4.0]}]
    assert len(preference_training.encode(tokenizer, [tied, ranked], params()).groups) == 1
    with pytest.raises(ValueError, match="ranked apart"):
        preference_training.encode(tokenizer, [tied], params())


def test_tied_answers_still_teach_direct_scores(reward_model, tokenizer):
    tied = toys.comparisons(1)[0]
    tied["labels"] = [{"labeler": "labeler_1", "ranks": [1, 1, 1], "scores": [4.0, 4.0, 4.0], "scale": [1, 7]}]
    groups = preference_training.encode(tokenizer, [tied], params(loss="direct", pooling="last")).groups
    scores = torch.stack([reward_model(input_ids=torch.tensor([row.ids])).logits[0, 0] for row in groups[0].rows])
    loss, _, right = loss_and_gradients(reward_model, groups, params(loss="direct", pooling="last"))
    assert loss == pytest.approx(((scores.sigmoid() - 0.5) ** 2).mean().item(), rel=1e-5)
    assert right["pairs"] == 0


def scored(*labels: tuple[str, list[float] | None, list[float] | None]) -> dict:
    """Return a comparison that labelers scored: (labeler, scores, scale)."""
    judged = [{"labeler": who, "scores": scores, "scale": scale} for who, scores, scale in labels]
    return {"id": "toy", "source": "judges", "labels": judged}


def test_scores_become_shares_of_their_scale_whoever_the_labeler_is():
    """Not of what a prompt's answers happened to get: two good answers are both good."""
    unit = preference_training.unit_scores
    assert unit(scored(("labeler_7", [0.9, 0.2], [0, 1]))) == pytest.approx([0.9, 0.2])
    assert unit(scored(("gpt", [8, 9], [1, 10]))) == pytest.approx([7 / 9, 8 / 9])
    assert unit(scored(("gpt", [5, 5], [1, 5]))) == [1, 1]
    assert unit(scored(("a", [1, 4, 7], [1, 7]), ("b", [1, 7, 7], [1, 7]))) == pytest.approx([0, 0.75, 1])
    assert unit(scored(("a", [1, 7], [1, 7]), ("b", None, None))) == []


@pytest.mark.parametrize("scales", [[None], [[1, 7], [0, 1]], [[1, 7], None]])
def test_scores_without_one_known_scale_are_refused_by_name(scales):
    given = scored(*((f"labeler_{number}", [0.9, 0.2], scale) for number, scale in enumerate(scales)))
    with pytest.raises(ValueError, match=r"'toy'.*one scale.*scale of source 'judges'|'toy'.*scale.*source 'judges'"):
        preference_training.unit_scores(given)


def test_without_scores_the_direct_loss_says_what_is_missing(tokenizer):
    unscored = toys.comparisons(1)[0]
    unscored["labels"] = [{"labeler": "a", "ranks": [1, 2, 3], "scores": None, "scale": None}]
    with pytest.raises(ValueError, match="labelers' scores"):
        preference_training.encode(tokenizer, [unscored], params(loss="direct", pooling="last"))


@pytest.mark.parametrize(("loss", "rate"), [("rank", 0.01), ("direct", 0.03)])
def test_an_obvious_preference_is_learned(tokenizer, loss, rate):
    chosen = params(loss=loss, epochs=12, optimisation={"learning_rate": rate, "warmup_steps": 0, "weight_decay": 0.01})
    model = toys.reward_model(tokenizer, spread=0.1)
    groups = preference_training.encode(tokenizer, toys.comparisons(24), chosen).groups
    curve = list(preference_training.train(model, groups, chosen, RUNTIME, seed=1))
    assert len(curve) == preference_training.count_steps(groups, chosen) == 72
    assert curve[0]["accuracy"] < 0.9
    assert sum(point["accuracy"] for point in curve[-6:]) / 6 > 0.9
    assert not model.training


def test_calibration_by_hand():
    log3, log19 = 1.0986123, 2.9444390  # sigmoid: 0.75 and 0.95
    error, bins = reward_accuracy.calibration([log3, log3, log3, log3, log19, -log19], num_bins=5)
    assert bins == [
        {"claimed": pytest.approx(0.75), "measured": 1.0, "pairs": 4},
        {"claimed": pytest.approx(0.95), "measured": 0.5, "pairs": 2},
    ]
    assert error == pytest.approx(4 / 6 * 0.25 + 2 / 6 * 0.45, abs=1e-6)  # too shy and too sure do not cancel


def test_bins_part_the_claims_evenly():
    claims = torch.tensor([0.55, 0.7, 0.74, 0.76, 0.8, 0.95])
    _, bins = reward_accuracy.calibration(claims.logit().tolist(), num_bins=2)
    assert [row["pairs"] for row in bins] == [3, 3]
    assert [row["claimed"] for row in bins] == pytest.approx([1.99 / 3, 2.51 / 3])


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    margins = torch.linspace(0.02, 4, 200)
    judged = [m for m in margins.tolist() for _ in range(round(1000 * torch.tensor(m).sigmoid().item()))]
    judged += [-m for m in margins.tolist() for _ in range(round(1000 * (1 - torch.tensor(m).sigmoid().item())))]
    error, bins = reward_accuracy.calibration(judged)
    assert error < 0.001
    assert len(bins) == 10
    assert sum(row["pairs"] for row in bins) == len(judged)
    assert reward_accuracy.calibration([-m for m in margins.tolist()])[0] > 0.7


def test_shuffled_pairs_are_the_same_pairs_each_by_itself(reward_model, tokenizer):
    chosen = params(pairs="shuffled", batch_size=2)
    groups = preference_training.encode(tokenizer, toys.comparisons(4), chosen).groups
    made = preference_training.elements(groups, chosen)
    assert [(g.record, g.rows[b], g.rows[w]) for g in groups for b, w in g.pairs] == [
        (one.record, *one.rows) for one in made.groups
    ]
    assert all(one.pairs == [(0, 1)] for one in made.groups)
    assert made.batch_size == round(2 * len(made.groups) / len(groups))
    alone = [loss_and_gradients(reward_model, [one], chosen)[0] for one in made.groups]
    assert loss_and_gradients(reward_model, made.groups, chosen)[0] == pytest.approx(sum(alone) / len(alone), rel=1e-5)


def test_shuffled_pairs_train_for_as_many_updates(tokenizer):
    chosen = params(pairs="shuffled", epochs=2, batch_size=4)
    groups = preference_training.encode(tokenizer, toys.comparisons(12), chosen).groups
    curve = list(preference_training.train(toys.reward_model(tokenizer), groups, chosen, RUNTIME, seed=1))
    assert len(curve) == preference_training.count_steps(groups, chosen) == 6


def test_a_step_that_breaks_down_is_named_with_its_records(tokenizer):
    chosen = params(batch_size=2, epochs=1)
    groups = preference_training.encode(tokenizer, toys.comparisons(4), chosen).groups
    model = toys.reward_model(tokenizer)
    training = preference_training.train(model, groups, chosen, RUNTIME, seed=1)
    order = batching.epochs(4, 2, 1, seeds.derive(1, "order"))
    batches = [[groups[index].record for index in chosen] for chosen in order]
    next(training)
    torch.nn.init.constant_(model.score.weight, float("nan"))
    with pytest.raises(failures.NotFinite) as error:
        next(training)
    assert str(error.value).startswith("step 2: ")
    assert str(error.value).endswith(f"; records of its batch: {', '.join(batches[1])}")


def test_a_training_that_goes_on_does_only_the_updates_that_are_missing(reward_model, tokenizer):
    class Broken(checkpoints.States):  # after two updates
        def __init__(self, points):
            super().__init__(None, 0.0)
            self.points = points

    chosen = params(batch_size=1, epochs=1)
    groups = preference_training.encode(tokenizer, toys.comparisons(4), chosen).groups
    whole = list(preference_training.train(copy.deepcopy(reward_model), groups, chosen, RUNTIME, 17))
    rest = list(preference_training.train(reward_model, groups, chosen, RUNTIME, 17, Broken(whole[:2])))
    assert [point["step"] for point in rest] == [1, 2, 3, 4]
    assert rest[:2] == whole[:2]


def test_comparisons_with_a_row_beyond_max_tokens_are_left_out_or_cut_and_what_became_equal_is_counted(tokenizer):
    """Answers that differ in their first words alone are equal where only the last tokens are kept."""
    long = toys.comparisons(1)[0]
    end = " ".join(["fox"] * 60)
    long |= {"id": "long", "responses": [f"red {end}", f"blue {end}"]}
    long["labels"] = [{"labeler": "a", "ranks": [1, 2], "scores": None, "scale": None}]
    all_of_them = [*toys.comparisons(4), long]
    most = max(len(row.ids) for group in preference_training.encode(tokenizer, all_of_them[:4], params()).groups
               for row in group.rows)  # fmt: skip
    left_out = preference_training.encode(tokenizer, all_of_them, params(max_tokens=most))
    assert "long" not in [group.record for group in left_out.groups]
    assert left_out.metrics() == {"too_long": 1, "equal_pairs": 0}
    assert left_out.in_words(params(max_tokens=most)).startswith(
        f"1 comparisons with more than max_tokens {most} are left"
    )
    cut = preference_training.encode(
        tokenizer, [long, *all_of_them[:4]], params(max_tokens=8).model_copy(update={"too_long": "cut"})
    )
    assert "long" not in [group.record for group in cut.groups], "no pair of it is left"
    assert cut.num_equal_pairs >= 1
    assert all(len(row.ids) <= 8 for group in cut.groups for row in group.rows)
    assert preference_training.encode(tokenizer, all_of_them[:4], params(max_tokens=most)).metrics() == {}
