"""What does not fit is named with the nearest values that do."""

import pytest

from tests.tools.planning.shapes import changed, params
from tools.planning import fitting, rows, sizes, stages
from tools.planning.fitting import Room

GPT2 = sizes.of_shape("gpt2", 50257)


@pytest.fixture
def known(tmp_path):
    return rows.known(params("cuda"), tmp_path)


def held(of, known, stage, **room):
    return fitting.held(of, GPT2, known, Room(0, **room))[stage].total


def found(of, known, room, stage):
    return next(one for one in fitting.misfits(of, GPT2, known, room) if one.stage == stage)


def test_what_fits_is_not_named(known):
    assert fitting.misfits(params("cuda"), GPT2, known, Room(1e12)) == []


def test_the_largest_value_that_fits_is_named(known):
    of = params("cuda")
    room = Room(held(of, known, "reward_model") - 1)
    remedies = found(of, known, room, "reward_model").remedies
    nearest = int(remedies[0].split(": ")[1].split()[0])
    assert remedies[0] == f"reward_model.micro_batch_rows: {nearest} (now {of.reward_model.micro_batch_rows})"
    fits = changed("cuda", reward_model__micro_batch_rows=nearest)
    larger = changed("cuda", reward_model__micro_batch_rows=nearest + 1)
    assert held(fits, known, "reward_model") <= room.bytes < held(larger, known, "reward_model")


def test_a_batch_stays_a_multiple_of_its_minibatch(known):
    of = params("cuda")
    smaller = changed("cuda", ppo__batch_size=64)
    room = Room(held(smaller, known, "ppo") + 1)
    value = fitting.nearest(of, "ppo.batch_size", 1, lambda new: held(new, known, "ppo") <= room.bytes)
    assert value is None or (value % of.ppo.minibatch_size == 0 and value < of.ppo.batch_size)
    assert fitting.nearest(of, "ppo.batch_size", 1, lambda new: new.ppo.batch_size <= 200) == 192


def test_nothing_is_proposed_that_does_not_fit(known):
    of = changed("cuda", sft__batch_size=4, sft__micro_batch_rows=4)
    remedies = found(of, known, Room(16 * GPT2.policy()), "sft").remedies  # weights and moments alone fill it
    assert not any(one.startswith("sft.micro_batch_rows") for one in remedies)
    assert any(one.startswith("sft.lora") for one in remedies)
    assert any(one.endswith("--sharded)") for one in remedies)


def test_switches_are_named_alone_or_together(known):
    of = changed("cuda", sft__micro_batch_rows=1, sft__batch_size=1)
    again, low, lora = fitting.switches(of, "sft")
    assert (again, low, lora) == (
        "runtime.gradient_checkpointing: true", "runtime.frozen_dtype: bfloat16", "sft.lora of rank 8",
    )  # fmt: skip
    assert [*fitting.switches(of, "evaluate")] == ["runtime.frozen_dtype: bfloat16"]
    together = of
    for change in fitting.switches(of, "sft").values():
        together = change(together)
    room = Room(held(together, known, "sft") + 1)
    assert f"{again} and {lora}" in found(of, known, room, "sft").remedies  # without the one that is in vain


def test_where_one_switch_does_not_suffice_a_key_comes_with_it_and_no_second_switch(known):
    of = params("cuda")
    chosen = fitting.switches(of, "sft")
    small = chosen["sft.lora of rank 8"](changed("cuda", sft__micro_batch_rows=3))
    remedies = found(of, known, Room(held(small, known, "sft") + 1), "sft").remedies
    assert "sft.lora of rank 8 and sft.micro_batch_rows: 3 (now 32)" in remedies
    assert not any("sft.m" in one and sum(name in one for name in chosen) > 1 for one in remedies)


def test_stages_that_are_planned_have_keys_and_those_with_adapters_a_switch():
    assert {*fitting.KEYS} == {*stages.STAGES}
    of = params("cuda")
    for stage in stages.STAGES:
        assert hasattr(getattr(of, stage), "lora") == (stage in fitting.ADAPTED)
        for key in fitting.KEYS[stage]:
            assert isinstance(fitting.value_of(of, key), int | None) or not hasattr(of.pretrain, key)


@pytest.mark.parametrize("key", ["rejection.sampling_batch_size", "dpo.micro_batch_rows"])
def test_rivals_that_do_not_fit_are_named_with_the_nearest_that_does(known, key):
    stage, name = key.split(".")
    section = getattr(params("cuda"), stage).model_copy(update={name: 100_000})
    of = params("cuda").model_copy(update={stage: section})
    smaller = fitting.changed(of, key, 50)
    if stage == "dpo":
        of, smaller = (fitting.changed(one, "dpo.batch_size", 1000) for one in (of, smaller))
    remedies = found(of, known, Room(held(smaller, known, stage) + 1), stage).remedies
    nearest = int(next(one for one in remedies if one.startswith(key)).split(": ")[1].split()[0])
    assert 50 <= nearest < 100_000


def test_of_processes_that_are_there_no_fewer_are_proposed(known):
    of = params("cuda")
    room = Room(held(of, known, "ppo") * 0.9, ranks=8)
    assert fitting.fewest_ranks(of, GPT2, known, room, "ppo") == 8


def test_shards_need_the_fewest_ranks_that_fit(known):
    of = params("cuda")
    room = Room(held(of, known, "ppo") * 0.6)
    ranks = fitting.fewest_ranks(of, GPT2, known, room, "ppo")

    def fits(number):
        asked = fitting.changed(of, "runtime.processes", number)
        return held(asked, known, "ppo", ranks=number, sharded=True) <= room.bytes

    assert ranks is not None and fits(ranks) and not (ranks > 2 and fits(ranks // 2))


def test_a_smaller_shape_is_the_largest_that_fits(known):
    of = changed("cuda", pretrain__shape="gpt2-xl")
    model = sizes.of_shape("gpt2-xl", of.pretrain.vocab_size)
    room = Room(fitting.held(of, sizes.of_shape("gpt2", of.pretrain.vocab_size), known, Room(0))["ppo"].total)
    one = next(one for one in fitting.misfits(of, model, known, room) if one.stage == "ppo")
    shape = next(remedy for remedy in one.remedies if remedy.startswith("pretrain.shape"))
    assert shape.split(": ")[1].split()[0] == "gpt2"


def test_where_nothing_helps_that_is_said(known):
    of = changed("cuda", pretrain__shape="tiny")
    model = sizes.of_shape("tiny", 300)
    one = next(one for one in fitting.misfits(of, model, known, Room(1000.0)) if one.stage == "ppo")
    assert one.remedies == []
    first, second = one.lines(Room(1000.0))
    assert first.endswith("nothing that was tried is enough:")
    assert second == "  take a smaller model"
