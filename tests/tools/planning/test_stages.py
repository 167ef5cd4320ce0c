"""What stages compute: as many updates, parts and answers as the stages themselves make."""

import math

import pytest

from rlhf.runs import checkpoints
from rlhf.sampling import rollouts
from stages import judge, pretrain
from tests.tools.planning.shapes import changed, params
from tools.planning import answering, cuts, disk, memory, stages, terms
from tools.planning.rows import Known, Rows
from tools.planning.work import ADAPT, LEARN, READ

SAME = Rows(200, (30,), (10,))
NONE = Rows(0, ())


def known(**values) -> Known:
    """Return data of which every row has 30 tokens of prompt and, where there is one, 10 of answer."""
    prompts = {name: Rows(200, (30,)) for name in ("reward_model", "judge", "ppo", "validation", "test")}
    ranked = dict.fromkeys(("train", "validation", "judge"), NONE)
    return Known(SAME, Rows(20, (30,), (10,)), prompts, ranked, 5000, 900, 0, False, "")._replace(**values)


def planned(of, data=None):
    data = data or known()
    return stages.of_params(of, data, cuts.of_params(of, data))


def learned(stage):
    return [one for one in stage.passes if one.what != READ]


def test_constants_are_those_of_the_stages():
    assert disk.KEPT == checkpoints.KEPT + 1
    assert pytest.approx(1 - judge.HELD_OUT_SHARE) == cuts.SHARE_OF_JUDGE
    assert terms.CHOSEN == 2 - rollouts.COMPUTED_IN_VAIN


def test_pretraining_makes_as_many_updates_as_it_counts():
    tiny = params()
    found = planned(tiny)["pretrain"]
    assert found.updates[0].number == pretrain.count_steps(tiny.pretrain)
    (one,) = learned(found)
    rows = pretrain.count_steps(tiny.pretrain) * tiny.pretrain.batch_size
    assert one.number * one.tokens == rows * (tiny.pretrain.sequence_tokens - 1)
    assert one.scored == one.tokens
    assert found.updates[0].how == "muon"
    assert planned(changed("tiny", pretrain__muon_momentum=None))["pretrain"].updates[0].how == "adamw"


def test_an_adopted_base_learns_nothing():
    found = planned(params("pretrained"))["pretrain"]
    assert (learned(found), found.updates, found.saves) == ([], (), 1)


def test_sft_reads_every_demonstration_once_an_epoch():
    three = changed("tiny", sft__epochs=3, sft__batch_size=40)
    found = planned(three)["sft"]
    (one,) = learned(found)
    assert one.number * one.tokens == pytest.approx(3 * 200 * 40)
    assert found.updates[0].number == 3 * 5
    validated = sum(one.number * one.tokens for one in found.passes if one.what == READ)
    assert validated == pytest.approx(3 * 20 * 40)


def test_adapters_learn_by_less():
    tuned = params("pretrained")
    found = planned(tuned)["ppo"]
    assert {one.what for one in learned(found)} == {ADAPT}
    assert {one.how for one in found.updates} == {"adapters"}
    alone = planned(changed("pretrained", ppo__share_backbone=None))["ppo"]
    assert {one.what for one in learned(alone)} == {ADAPT, LEARN}


def test_ppo_writes_reads_and_learns_every_episode():
    tiny = changed(
        "tiny", ppo__iterations=5, ppo__batch_size=32, ppo__minibatch_size=8, ppo__inner_epochs=2, ppo__ptx_coef=0.0
    )
    found = planned(tiny)["ppo"]
    assert sum(one.number * one.rows for one in found.decodings) == 5 * 32
    assert sum(one.number for one in found.updates) == 2 * 5 * 2 * 4
    policy, value = learned(found)
    row = 30 + 10 - 1
    assert policy.number * policy.tokens == value.number * value.tokens == pytest.approx(5 * 2 * 32 * row)
    assert (policy.scored, value.scored) == (pytest.approx(policy.tokens * 10 / row), 0)
    reading = [one for one in found.passes if one.what == READ]
    assert sum(one.number * one.tokens for one in reading) == pytest.approx(5 * 32 * (3 * row + 40))
    with_text = planned(tiny.model_copy(update={"ppo": tiny.ppo.model_copy(update={"ptx_coef": 0.1})}))["ppo"]
    text = learned(with_text)[-1]
    rows = round(8 * tiny.ppo.ptx_ratio / 2)
    assert text.number * text.tokens == 5 * 2 * 4 * rows * (tiny.ppo.ptx_sequence_tokens - 1)


def test_rewards_are_learned_from_what_labelers_rank():
    tiny = changed(
        "tiny", collect_answers__max_prompts=100, collect_comparisons__validation_share=0.2, reward_model__epochs=2,
        reward_model__batch_size=8, collect_answers__max_judge_prompts=50, judge__epochs=1, judge__batch_size=10,
    )  # fmt: skip
    found = planned(tiny)
    assert found["reward_model"].updates[0].number == 2 * 10
    assert found["judge"].updates[0].number == 4
    answers = (tiny.collect_answers.min_responses + tiny.collect_answers.max_responses) / 2
    (one,) = learned(found["reward_model"])
    assert one.number * one.tokens == pytest.approx(2 * 10 * 8 * (30 + answers * 10), rel=0.05)
    assert found["feedme"].updates[0].number == tiny.feedme.epochs * math.ceil(80 / tiny.feedme.batch_size)


def test_given_comparisons_are_learned_too():
    ranked = {"train": Rows(1000, (30,), (24,), 2.0), "validation": Rows(100, (30,), (24,), 2.0), "judge": NONE}
    groups = cuts.ranked(params(), known(ranked=ranked))
    assert (groups.answers, groups.texts.answers) == (2.0, (12,))
    assert groups.training == 1000 + 80 * (1 - params().collect_comparisons.validation_share)
    capped = cuts.ranked(changed("tiny", reward_model__max_comparisons=300), known(ranked=ranked))
    assert capped.training == 300


def test_no_reward_model_is_trained_where_none_is_asked_for():
    found = planned(changed("tiny", rewards__trained=0.0, ppo__value_init="policy"))
    assert found["reward_model"].flops(None) == 0
    with_one = planned(params())["ppo"]
    assert len(found["ppo"].passes) == len(with_one.passes) - 1


def test_every_prompt_is_answered():
    tiny = changed("tiny", collect_answers__max_prompts=100, collect_answers__max_judge_prompts=50)
    found = planned(tiny)["collect_answers"]
    answers = (tiny.collect_answers.min_responses + tiny.collect_answers.max_responses) / 2
    assert sum(one.number * one.rows for one in found.decodings) == pytest.approx(150 * answers)
    evaluated = planned(tiny)["evaluate"]
    best = tiny.evaluate.best_of_n
    number, few = tiny.evaluate.test_prompts, tiny.evaluate.validation_prompts
    asked = 6 * 2 * number + 2 * len(tiny.evaluate.temperatures) * few
    asked += number * max(best.compare) + min(number, best.curve_prompts) * best.curve_draws
    assert sum(one.number * one.rows for one in evaluated.decodings) == pytest.approx(asked)


def test_answers_to_one_prompt_read_it_once():
    tiny = changed("tiny", evaluate__batch_size=32)
    drawn = [one for one in planned(tiny)["evaluate"].decodings if one.rows > one.prompts]
    best = tiny.evaluate.best_of_n
    assert [one.rows / one.prompts for one in drawn] == [max(best.compare), best.curve_draws]
    (one,) = answering.decoded(tiny, 1, known().prompts["test"], SAME, 32, shared=8)
    assert (one.rows, one.prompts) == (1, 1)


def without_rivals(of):
    left = {name: getattr(of, name).model_copy(update={"train": False}) for name in ("rejection", "dpo")}
    return of.model_copy(update=left)


def test_rivals_that_are_left_out_are_planned_nowhere():
    tiny, left = params(), without_rivals(params())
    assert [*planned(tiny)] == [*stages.STAGES]
    assert [*planned(left)] == [name for name in stages.STAGES if name not in ("rejection", "dpo")]
    (held_all, model), (held_less, _) = held(tiny), held(left)
    assert {*held_all} - {*held_less} == {"rejection", "dpo"}
    assert "dpo" in disk.of_params(tiny, model, held_all)
    assert "dpo" not in disk.of_params(left, model, held_less)
    asked = [sum(one.number * one.rows for one in planned(of)["evaluate"].decodings) for of in (tiny, left)]
    assert asked[0] - asked[1] == pytest.approx(2 * 2 * tiny.evaluate.test_prompts)


def test_rejection_sampling_writes_n_answers_scores_them_and_learns_one_of_each():
    tiny = changed(
        "tiny", rejection__n=4, rejection__max_prompts=100, rejection__validation_share=0.1, rejection__epochs=2,
        rejection__batch_size=30, rejection__sampling_batch_size=40,
    )  # fmt: skip
    found = planned(tiny)["rejection"]
    (answers,) = found.decodings
    assert (answers.number * answers.rows, answers.rows, answers.prompts) == (400, 40, 10)
    scores, learns, validation = found.passes
    assert scores.number * scores.tokens == pytest.approx(400 * 40)
    assert found.updates[0].number == 2 * 3
    assert learns.number * learns.tokens == pytest.approx(2 * 3 * 30 * 40)  # whole batches
    assert validation.number * validation.tokens == pytest.approx(2 * 10 * 40)
    assert (found.loads, found.saves) == (3, 1)
    by_functions = planned(tiny.model_copy(update={"rewards": tiny.rewards.model_copy(update={"trained": 0.0})}))
    assert (len(by_functions["rejection"].passes), by_functions["rejection"].loads) == (2, 2)
    all_of_them = planned(changed("tiny", rejection__max_prompts=None, rejection__n=4))["rejection"]
    assert sum(one.number * one.rows for one in all_of_them.decodings) == pytest.approx(4 * 200)


def test_dpo_asks_sft_once_and_reads_log_probabilities_of_answers():
    tiny = changed(
        "tiny", collect_answers__max_prompts=100, collect_comparisons__validation_share=0.2, dpo__epochs=2,
        dpo__batch_size=8, dpo__max_comparisons=None,
    )  # fmt: skip
    found = planned(tiny)["dpo"]
    answers = (tiny.collect_answers.min_responses + tiny.collect_answers.max_responses) / 2
    learns, reading = found.passes
    group = 30 + answers * 10
    assert found.updates[0].number == 2 * 10
    assert learns.number * learns.tokens == pytest.approx(2 * 80 * group, rel=0.05)
    assert learns.scored / learns.tokens == pytest.approx(answers * 10 / group, rel=0.05)
    assert reading.number * reading.tokens == pytest.approx((80 + 20 * 3) * group, rel=0.05)  # 20 after each epoch too
    assert found.loads == 1
    fewer = changed("tiny", collect_answers__max_prompts=100, dpo__max_comparisons=16, dpo__batch_size=8, dpo__epochs=1)
    assert planned(fewer)["dpo"].updates[0].number == 2


def test_feedme_learns_as_many_answers_as_lie_within_a_rank():
    tiny = changed("tiny", collect_answers__max_prompts=100, collect_comparisons__validation_share=0.2)
    within = tiny.model_copy(update={"feedme": tiny.feedme.model_copy(update={"learn": "within", "within_rank": 2.0})})
    records = [planned(of)["feedme"].records for of in (tiny, within)]
    answers = (tiny.collect_answers.min_responses + tiny.collect_answers.max_responses) / 2
    assert records == [100, 100 * min(3, answers)]


def test_the_longest_of_many_is_longer():
    lengths = list(range(1, 101))
    assert (
        answering.longest_of(lengths, 1)
        < answering.longest_of(lengths, 10)
        < answering.longest_of(lengths, 1000)
        == 100
    )


def held(of, data=None):
    from tools.planning import sizes

    data = data or known()
    model = sizes.of_shape("gpt2", 300)
    cut = cuts.of_params(of, data)
    return memory.of_params(of, model, data, cut, stages.of_params(of, data, cut)), model


def test_memory_of_stages_that_learn():
    found, model = held(params())
    sft, reward, weights = found["sft"], found["reward_model"], 4 * model.policy()
    assert (sft.weights, sft.gradients, sft.optimiser, sft.copies) == (weights, weights, 2 * weights, weights)
    assert reward.weights == 4 * model.backbone()
    last, _ = held(changed("tiny", sft__select="last"))
    assert last["sft"].copies == 0
    two, _ = held(changed("tiny", runtime__workers=2))
    assert two["sft"].gradients == 3 * weights  # a sum, and one in each worker


def test_memory_of_muon_is_one_momentum():
    muon, model = held(params())
    adam, _ = held(changed("tiny", pretrain__muon_momentum=None))
    assert adam["pretrain"].optimiser - muon["pretrain"].optimiser == 4 * model.layers * model.products()


def test_memory_of_ppo_is_four_models():
    found, model = held(params())
    ppo, weights = found["ppo"], 4 * model.policy()
    assert (ppo.weights, ppo.frozen, ppo.optimiser, ppo.gradients) == (2 * weights, 2 * weights, 4 * weights, weights)
    averaged, _ = held(changed("tiny", ppo__ema_decay=0.9))
    assert averaged["ppo"].copies == weights
    lora = params("pretrained").ppo.lora
    adapted, _ = held(changed("tiny", ppo__lora=lora, ppo__share_backbone=True))
    assert adapted["ppo"].weights == 0
    assert adapted["ppo"].optimiser == 2 * 8 * model.adapters(lora.rank)
    low, _ = held(changed("tiny", runtime__frozen_dtype="bfloat16"))
    assert low["ppo"].frozen == weights


def test_memory_of_dpo_is_one_model_with_all_its_log_probabilities():
    found, model = held(changed("tiny", dpo__select="best_validation"))
    dpo, reward, weights = found["dpo"], found["reward_model"], 4 * model.policy()
    assert (dpo.weights, dpo.optimiser, dpo.copies, dpo.frozen) == (weights, 2 * weights, weights, 0)
    assert dpo.logits > 0
    plain, _ = held(changed("tiny", reward_model__likelihood_coef=0.0))
    assert (plain["reward_model"].logits, reward.logits > 0) == (0, True)
    last, _ = held(changed("tiny", dpo__select="last"))
    assert last["dpo"].copies == 0


def test_memory_of_rejection_sampling_is_the_larger_of_training_and_of_answers():
    learns, model = held(params())
    weights = 4 * model.policy()
    assert (learns["rejection"].optimiser, learns["rejection"].frozen) == (2 * weights, 0)
    many = changed(
        "tiny", rejection__sampling_batch_size=4000, rejection__max_prompts=None, rejection__n=20,
        rejection__max_completion_tokens=40,
    )  # fmt: skip
    writes, _ = held(many)
    assert (writes["rejection"].optimiser, writes["rejection"].frozen) == (0, weights)
    assert writes["rejection"].cache == terms.cache(model, 4000 * (30 + 40))
    assert disk.state(writes["rejection"]) == disk.state(learns["rejection"]) == 4 * weights
    few = changed("tiny", rejection__sampling_batch_size=4000, rejection__max_prompts=2, rejection__n=2)
    assert held(few)[0]["rejection"].frozen == 0  # there are but four answers to be written


def test_memory_of_evaluate_is_that_of_a_whole_batch_of_draws():
    found, model = held(changed("tiny", evaluate__test_prompts=3, evaluate__batch_size=12, runtime__workers=1))
    most = params().evaluate.max_completion_tokens
    assert max(params().evaluate.best_of_n.compare) >= 4
    assert found["evaluate"].cache == terms.cache(model, 12 * (30 + most))


def test_a_gpus_cache_is_the_librarys_and_as_low_as_products():
    found, model = held(changed("tiny", runtime__device="cuda", runtime__dtype="bfloat16"))
    ours, _ = held(changed("tiny", runtime__dtype="bfloat16"))
    for name in ("collect_answers", "ppo"):
        expected = ours[name].cache / terms.CHOSEN / 2 * (1 + 1 / model.layers)
        assert found[name].cache == pytest.approx(expected)


def test_no_memory_is_planned_for_a_reward_model_that_none_trains():
    found, _ = held(changed("tiny", rewards__trained=0.0, ppo__value_init="policy"))
    assert found["reward_model"].weights == 0


def test_disk_holds_models_copies_and_states():
    found, model = held(params())
    kept = disk.of_params(params(), model, found)
    weights = 4 * model.policy()
    assert kept["sft"].model == kept["sft"].cache == weights
    assert kept["sft"].mlflow == 0  # above tracking.max_model_mb
    assert kept["sft"].states == 3 * 4 * weights
    assert kept["sft"].total == 2 * weights + 12 * weights
    quiet = changed("tiny", checkpoints__every_seconds=None, tracking__max_model_mb=10_000.0)
    quiet = disk.of_params(quiet, model, found)
    assert (quiet["sft"].states, quiet["sft"].mlflow) == (0, weights)
    adapter = params("pretrained").ppo.lora.model_copy(update={"save": "adapter"})
    assert disk.of_params(changed("tiny", ppo__lora=adapter), model, found)["ppo"].model == 4 * model.adapters(16)


def test_parts_of_one_size_waste_nothing():
    found, _ = held(params())
    assert found["pretrain"].spread == 1.0
    assert found["ppo"].spread > 1.0
    on_gpu, _ = held(changed("tiny", runtime__device="cuda"))
    assert on_gpu["ppo"].spread == 1.0


def test_answers_are_written_as_wide_as_the_longest_prompt_of_a_part():
    two = changed("tiny", runtime__workers=2, ppo__batch_size=32, ppo__max_completion_tokens=20)
    mixed = known(prompts=known().prompts | {"ppo": Rows(200, (10,) * 16 + (50,) * 16)})
    ppo, model = held(two, mixed)
    drawn = sorted((prompt for prompt, _ in mixed.prompts["ppo"].drawn(32)), reverse=True)
    tokens = 16 * (drawn[0] + 20) + 16 * (drawn[16] + 20)
    assert ppo["ppo"].cache == terms.cache(model, tokens)
    assert ppo["ppo"].logits >= 32 * model.vocab * terms.DRAWN


def test_each_worker_writes_a_whole_batch_where_many_are_sorted_together():
    one, model = held(changed("tiny", collect_answers__batch_size=64, collect_answers__max_completion_tokens=20))
    two, _ = held(changed(
        "tiny", runtime__workers=2, collect_answers__batch_size=64, collect_answers__max_completion_tokens=20,
    ))  # fmt: skip
    assert one["collect_answers"].cache == terms.cache(model, 64 * 50)
    assert two["collect_answers"].cache == 2 * one["collect_answers"].cache
