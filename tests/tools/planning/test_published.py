"""Plans of published models and runs, beside what their papers say."""

from pathlib import Path

import pytest

from tests.tools.planning.shapes import params
from tools.planning import sizes, whole
from tools.planning.work import LEARN, Pass, head_flops, pass_flops

NOWHERE = Path("/no such folder")
PETAFLOP_DAY = 1e15 * 86400
TOKENS = 300e9  # that GPT-3 was trained on
GPT2 = {"gpt2": 124e6, "gpt2-medium": 355e6, "gpt2-large": 774e6, "gpt2-xl": 1558e6}  # weights, of the released models
GPT3 = {  # weights and operations of training: Brown et al. 2020, table D.1, which leaves attention's own out
    "gpt3-small": (125e6, 2.25e20), "gpt3-medium": (356e6, 6.41e20), "gpt3-large": (760e6, 1.37e21),
    "gpt3-xl": (1320e6, 2.38e21), "gpt3-2.7b": (2650e6, 4.77e21), "gpt3-6.7b": (6660e6, 1.20e22),
    "gpt3-13b": (12850e6, 2.31e22), "gpt3-175b": (174600e6, 3.14e23),
}  # fmt: skip


@pytest.mark.parametrize("name", [*GPT2, *GPT3])
def test_named_shapes_have_the_weights_that_were_published(name):
    published = GPT2[name] if name in GPT2 else GPT3[name][0]
    assert sizes.of_shape(name, sizes.VOCAB).policy() == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("name", GPT3)
def test_training_takes_what_was_published_and_attention(name):
    model, row = sizes.of_shape(name, sizes.VOCAB), 2048
    found = pass_flops(model, Pass(LEARN, 1, row, row, row), False) / row * TOKENS
    attention = 3 * 4 * model.layers * model.asked * row * TOKENS
    again = head_flops(model, 1) * TOKENS  # logits, which do not fit and are made twice
    assert found - attention - again == pytest.approx(GPT3[name][1], rel=0.03)
    assert found > GPT3[name][1]


def test_instructgpt_takes_about_what_it_took():
    counts = {"sft": 12725, "ranked": 33207, "ppo": 31144}  # Ouyang et al. 2022, table 6
    found = whole.of_params(params("instructgpt"), NOWHERE, sizes.of_shape("gpt3-175b", sizes.VOCAB), counts=counts)
    assert found is not None
    days = {name: found.work[name].flops(found.sizes) / PETAFLOP_DAY for name in ("sft", "ppo")}
    assert days["sft"] == pytest.approx(4.9, rel=0.1)  # section 5.1
    # more than 60: rows are as long as params allow, and the reward and value models of the policy's size, not of 6B
    assert 60 < days["ppo"] < 80
