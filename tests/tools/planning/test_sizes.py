"""A model's sizes, by hand and beside the model that transformers makes of them."""

import json

import pytest
import transformers

from rlhf.models import shapes as named
from tests.tools.planning.shapes import SMALL, changed, params
from tools.planning import sizes
from tools.planning.sizes import Dimensions

INSTRUCTGPT = params("instructgpt")
UNREAD = INSTRUCTGPT.model_copy(update={"pretrain": INSTRUCTGPT.pretrain.model_copy(update={"path": "someone/model"})})


def test_weights_by_hand():
    assert SMALL.products() == 64 + 32 + 32 + 64 + 2 * 128 + 128
    assert SMALL.backbone() == 2 * (576 + 2 * 8) + (10 + 1) * 8
    assert SMALL.policy() == SMALL.backbone()
    assert SMALL._replace(tied=False).policy() == SMALL.backbone() + 80
    pairs = (8 + 8) + 2 * (8 + 4) + (8 + 8) + 3 * (8 + 16)
    assert SMALL.adapters(rank=3) == 2 * 3 * pairs


@pytest.mark.parametrize("name", ["tiny", "desktop", "gpt2", "gpt3-small"])
def test_a_named_shape_has_the_weights_of_the_model_that_is_made_of_it(name):
    import torch

    config = named.config(name, 700, 0, 1)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    vectors = sum(weight.numel() for key, weight in model.named_parameters() if key.endswith("bias"))
    weights = sum(weight.numel() for weight in model.parameters()) - vectors
    assert sizes.of_shape(name, 700).policy() == weights


@pytest.mark.parametrize("name", ["desktop", "gpt2", "gpt3-small"])
def test_a_config_says_what_its_shape_does(name):
    config = json.loads(named.config(name, 700, 0, 1).to_json_string(use_diff=False))
    assert sizes.of_config(config) == sizes.of_shape(name, 700)


def test_a_model_that_is_read_later_has_no_sizes_yet(tmp_path):
    assert sizes.of_params(UNREAD, tmp_path) is None
    (tmp_path / "data/pretrain").mkdir(parents=True)
    config = named.config("gpt2", 300, 0, 1).to_json_string(use_diff=False)
    (tmp_path / "data/pretrain/config.json").write_text(config)
    assert sizes.of_params(UNREAD, tmp_path) == sizes.of_shape("gpt2", 300)


@pytest.mark.parametrize("preset", ["instructgpt", "stiennon", "ziegler"])
def test_a_published_model_has_the_sizes_of_its_shape_until_it_is_read(preset, tmp_path):
    of, shape = params(preset), {"ziegler": "gpt2"}.get(preset, "gpt3-xl")
    assert sizes.of_params(of, tmp_path) == sizes.of_shape(shape, 50257)
    assert of.pretrain.path in sizes.taken_from(of, tmp_path)
    (tmp_path / "data/pretrain").mkdir(parents=True)
    config = named.config("gpt2-medium", 300, 0, 1).to_json_string(use_diff=False)
    (tmp_path / "data/pretrain/config.json").write_text(config)
    assert sizes.of_params(of, tmp_path) == sizes.of_shape("gpt2-medium", 300)
    assert sizes.taken_from(of, tmp_path) is None


def test_an_unknown_shape_and_another_kind_of_model_have_none(tmp_path):
    assert sizes.of_params(changed("tiny", pretrain__shape="no such"), tmp_path) is None
    (tmp_path / "data/pretrain").mkdir(parents=True)
    (tmp_path / "data/pretrain/config.json").write_text(json.dumps({"model_type": "mamba"}))
    assert sizes.of_params(UNREAD, tmp_path) is None


class Told:
    """What a GGUF file's header says."""

    def __init__(self, architecture, tied=True, **told):
        self.architecture, self.tied, self.told = architecture, tied, told
        self.tensors = {"token_embd.weight": type("Stored", (), {"size": 80})}

    def of_model(self, key):
        return self.told.get(key.replace(".", "_"))


def test_a_gguf_file_names_its_sizes():
    told = {"block_count": 2, "embedding_length": 8, "feed_forward_length": 16, "attention_head_count": 2}
    assert sizes.of_gguf(Told("llama", attention_head_count_kv=1, **told)) == SMALL
    gpt2 = sizes.of_gguf(Told("gpt2", tied=False, context_length=64, **told))
    assert gpt2 == Dimensions(2, 8, 16, 2, 2, 4, 10, 64, gated=False, tied=False)
    with pytest.raises(KeyError, match="feed_forward_length"):
        sizes.of_gguf(Told("llama", **{key: told[key] for key in told if key != "feed_forward_length"}))
