"""What stages compute: as many updates, parts and answers as the stages themselves make."""

import math

import pytest

from rlhf.runs import checkpoints
from rlhf.sampling import rollouts
from stages import judge, pretrain
from tests.tools.planning.shapes import changed, params
from tools.planning import cuts, disk, memory, stages, terms
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
    assert found.updates[0].count == pretrain.count_steps(tiny.pretrain)
    (one,) = learned(found)
    rows = pretrain.count_steps(tiny.pretrain) * tiny.pretrain.batch_size
    assert one.count * one.tokens == rows * (tiny.pretrain.sequence_tokens - 1)
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
    assert one.count * one.tokens == pytest.approx(3 * 200 * 40)
    assert found.updates[0].count == 3 * 5
    validated = sum(one.count * one.tokens for one in found.passes if one.what == READ)
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
    assert sum(one.count * one.rows for one in found.decodings) == 5 * 32
    assert sum(one.count for one in found.updates) == 2 * 5 * 2 * 4
    policy, value = learned(found)
    row = 30 + 10 - 1
    assert policy.count * policy.tokens == value.count * value.tokens == pytest.approx(5 * 2 * 32 * row)
    assert (policy.scored, value.scored) == (pytest.approx(policy.tokens * 10 / row), 0)
    reading = [one for one in found.passes if one.what == READ]
    assert sum(one.count * one.tokens for one in reading) == pytest.approx(5 * 32 * (3 * row + 40))
    with_text = planned(tiny.model_copy(update={"ppo": tiny.ppo.model_copy(update={"ptx_coef": 0.1})}))["ppo"]
    text = learned(with_text)[-1]
    rows = round(8 * tiny.ppo.ptx_ratio / 2)
    assert text.count * text.tokens == 5 * 2 * 4 * rows * (tiny.ppo.ptx_sequence_tokens - 1)


def test_rewards_are_learned_from_what_labelers_rank():
    tiny = changed(
        "tiny", collect_answers__max_prompts=100, collect_comparisons__validation_share=0.2, reward_model__epochs=2,
        reward_model__batch_size=8, collect_answers__max_judge_prompts=50, judge__epochs=1, judge__batch_size=10,
    )  # fmt: skip
    found = planned(tiny)
    assert found["reward_model"].updates[0].count == 2 * 10
    assert found["judge"].updates[0].count == 4
    answers = (tiny.collect_answers.min_responses + tiny.collect_answers.max_responses) / 2
    (one,) = learned(found["reward_model"])
    assert one.count * one.tokens == pytest.approx(2 * 10 * 8 * (30 + answers * 10), rel=0.05)
    assert found["feedme"].updates[0].count == tiny.feedme.epochs * math.ceil(80 / tiny.feedme.batch_size)


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
    assert sum(one.count * one.rows for one in found.decodings) == pytest.approx(150 * answers)
    evaluated = planned(tiny)["evaluate"]
    best = tiny.evaluate.best_of_n
    number, few = tiny.evaluate.test_prompts, tiny.evaluate.validation_prompts
    asked = 4 * 2 * number + 2 * len(tiny.evaluate.temperatures) * few
    asked += number * max(best.compare) + min(number, best.curve_prompts) * best.curve_draws
    assert sum(one.count * one.rows for one in evaluated.decodings) == pytest.approx(asked)


def test_the_longest_of_many_is_longer():
    lengths = list(range(1, 101))
    assert stages.longest_of(lengths, 1) < stages.longest_of(lengths, 10) < stages.longest_of(lengths, 1000) == 100


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
