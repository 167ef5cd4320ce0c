"""Named model shapes against the published sizes."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.models import shapes

# millions of parameters: GPT-3's table 2.1; GPT-2's sizes as its repository corrects them
PUBLISHED = {
    "gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558, "gpt3-small": 125, "gpt3-medium": 350,
    "gpt3-large": 760, "gpt3-xl": 1300, "gpt3-2.7b": 2700, "gpt3-6.7b": 6700, "gpt3-13b": 13000, "gpt3-175b": 175000,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_the_published_number_of_parameters(name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shapes.config(name, vocab_size=50257, pad_id=0, eos_id=1))
    assert model.num_parameters() / 1e6 == pytest.approx(PUBLISHED[name], rel=0.05)


@pytest.mark.parametrize("name", ["tiny", "gpt1", "gpt3-small"])
def test_one_model_of_each_family_runs_with_its_own_markers(name):
    shape = shapes.SHAPES[name]._replace(layers=2, width=64, heads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.SHAPES, name, shape)
        config = shapes.config(name, vocab_size=300, pad_id=3, eos_id=4)
    model = AutoModelForCausalLM.from_config(config)
    assert model(input_ids=torch.tensor([[5, 6]])).logits.shape == (1, 2, 300)
    assert (config.pad_token_id, config.eos_token_id) == (3, 4)
    assert config.max_position_embeddings == shape.context
    assert len(model.base_model.layers if name == "tiny" else model.transformer.h) == 2


def test_heads_part_the_width_evenly():
    assert all(shape.width % shape.heads == 0 for shape in shapes.SHAPES.values())


@pytest.mark.parametrize("name", ["tiny@256", "gpt2@128", "gpt3-13b@256"])
def test_a_shape_at_another_width_has_more_heads_of_the_same_size(name):
    plain, found = shapes.SHAPES[name.partition("@")[0]], shapes.named(name)
    assert found.width == int(name.partition("@")[2])
    assert shapes.head_size(found) == shapes.head_size(plain)
    assert found._replace(width=plain.width, heads=plain.heads) == plain
    assert shapes.config(name, vocab_size=300, pad_id=3, eos_id=4).hidden_size == found.width


WRONG = ["huge", "huge@64", "tiny@", "tiny@48", "tiny@0", "tiny@-32", "tiny@3e2", "tiny@70016"]


@pytest.mark.parametrize("name", WRONG)
def test_a_shape_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=r"expected (one of tiny, laptop|behind tiny@ a multiple of 32)"):
        shapes.named(name)
