"""Rates are measured in the code that will run, in parts of the size in which most is computed."""

import math

import pytest

from rlhf.params.base import ParamsError
from tests.tools.planning.shapes import SMALL, changed, params
from tests.tools.planning.test_stages import planned
from tools.planning import sizes
from tools.planning.timing import calibration, rates, trials
from tools.planning.work import ADAPT, LEARN, READ, Decoding, Pass, Stage, Updates


def test_the_typical_part_is_measured():
    work = {
        "sft": Stage((Pass(LEARN, 10, 400, 0, 40),), (), (Updates(10, "adamw"),)),
        "ppo": Stage((Pass(READ, 1, 9000, 0, 40),), (Decoding(1, 64, 64, 10, 20, 800),)),
    }
    found = calibration.of_work(SMALL, work)
    assert (found.whats, found.hows, found.read) == ({LEARN, READ}, {"adamw"}, 40)
    assert found.tokens == (2 * 40, 10 * 40)  # whole rows; what learns is what counts
    assert found.rows == (10, 40)


def test_large_parts_are_cut_to_what_takes_seconds():
    work = {"sft": Stage((Pass(LEARN, 10, 10**6, 0, 64),), (), (Updates(10, "adamw"),))}
    assert calibration.of_work(SMALL, work).tokens[1] <= calibration.MOST_TOKENS
    wide = sizes.of_shape("gpt2-xl", 50257)
    found = calibration.of_work(wide, work)
    assert 6 * wide.products() * found.tokens[1] <= 1.5 * calibration.MOST_FLOPS
    assert found.rows == (0, 0)


def test_what_cannot_be_tried_asks_for_a_rate():
    with pytest.raises(ParamsError, match="--rate"):
        calibration.refuse(params(), sizes.of_shape("gpt3-175b", 50257))
    with pytest.raises(ParamsError, match="--rate"):
        calibration.refuse(changed("tiny", runtime__device="cuda"), SMALL)


@pytest.mark.parametrize("name", ["tiny", "pretrained"])
def test_every_kind_of_work_of_a_preset_has_a_rate(name, monkeypatch):
    monkeypatch.setattr(calibration, "_start", lambda: 1.0)
    monkeypatch.setattr(trials, "REPEATED", 1)
    of, model = changed(name, runtime__threads=1, runtime__workers=1), sizes.of_shape("tiny", 300)
    work = planned(of)
    found = calibration.measured(of, model, work)
    assert (ADAPT in found.passes) == (name == "pretrained")
    for stage in work.values():
        seconds = rates.seconds(stage, model, found, of.runtime)
        assert math.isfinite(seconds)
        assert seconds >= 1.0
    assert found.flops > 0


@pytest.mark.parametrize("stage", ["sft", "reward_model", "feedme", "rejection", "dpo", "judge"])
def test_adapters_of_any_stage_are_tried(stage):
    lora = params("pretrained").ppo.lora
    assert trials.lora_of(changed("tiny", **{f"{stage}__lora": lora})) == lora


@pytest.mark.parametrize("shape", ["gpt2", "gpt3-small", "tiny"])
def test_models_that_are_tried_have_the_layers_of_the_model(shape):
    model = sizes.of_shape(shape, 200)
    few, many = (trials.model_of(model, layers, params().runtime) for layers in (1, 2))
    more = sum(one.numel() for one in many.parameters()) - sum(one.numel() for one in few.parameters())
    vectors = sum(one.numel() for one in many.parameters() if one.ndim == 1)
    assert model.products() <= more <= model.products() + vectors
