"""The stage `pretrain` from scratch; what is adopted has tests of its own in test_adoption.py."""

import json
import shutil
from itertools import islice

import pytest
import torch

from rlhf.models import loading
from rlhf.params.pretrain import Scratch
from rlhf.tokens import chat
from rlhf.training import language_modelling
from stages import pretrain
from tests import toys


def params(**changes) -> Scratch:
    return toys.section(Scratch, "pretrain", **changes)


def test_run_twice_it_writes_the_same_bytes(root, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        torch.rand(7)  # what other code has drawn in this process changes nothing
        pretrain.main(place)
    written = toys.file_bytes(root / "data/pretrain") | toys.file_bytes(root / "metrics")
    assert written == toys.file_bytes(again / "data/pretrain") | toys.file_bytes(again / "metrics")
    metrics = json.loads(written["pretrain.json"])["pretrain"]
    assert set(metrics["copying"]) == {"last_word"}
    model, tokenizer = loading.load_policy(root / "data/pretrain", toys.runtime())
    assert metrics["parameters"] == model.num_parameters()
    assert tokenizer.chat_template == chat.BASE_TEMPLATE
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.pad_token_id, model.config.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
    rows = pretrain.validation_rows(tokenizer, list(toys.TEXTS[:8]), params())
    loss = language_modelling.mean_loss(model, rows, 32, toys.runtime())
    assert metrics["validation_loss"] == pytest.approx(loss, abs=1e-5)


def test_training_lowers_the_loss(tokenizer):
    rows = language_modelling.sequences(language_modelling.token_stream(tokenizer, toys.TEXTS), 16)
    chosen = params(copying_steps=0, tokens=16 * 8 * 30, optimisation={"warmup_steps": 2, "learning_rate": 0.01})
    untied = toys.policy(tokenizer, spread=0.05, tie_word_embeddings=False)
    curve = list(pretrain.train(untied, rows, chosen, toys.runtime(), seed=1))
    assert len(curve) == pretrain.count_steps(chosen) == 30
    assert curve[0]["loss"] == pytest.approx(5.7, abs=0.3)  # the logarithm of the vocabulary
    assert curve[-1]["loss"] < 2


def test_steps_cover_the_tokens_asked_for():
    size = {"batch_size": 8, "sequence_tokens": 16}
    assert pretrain.count_steps(params(tokens=129, copying_steps=0, **size)) == 2
    assert pretrain.count_steps(params(tokens=128, copying_steps=0, **size)) == 1
    assert pretrain.count_steps(params(tokens=128, copying_steps=3, **size)) == 4


def test_the_first_batches_repeat_and_the_later_ones_are_text():
    rows = torch.arange(64 * 16).view(64, 16) + 1000
    batches = list(islice(pretrain.training_batches(rows, params(copying_steps=2, batch_size=4), 300, seed=1), 5))
    assert [bool((batch < 300).all()) for batch in batches] == [True, True, False, False, False]
    assert all(batch.shape == (4, 16) for batch in batches)
    assert not torch.equal(batches[0], batches[1])
    shown = [row.tolist() for batch in batches[2:] for row in batch]
    assert all(row in rows.tolist() for row in shown)


KNOBS = {
    "shape": "laptop", "vocab_size": 300, "previous_token_heads": 0, "copying_steps": 2, "tokens": 1024,
    "sequence_tokens": 24, "batch_size": 4, "muon_momentum": None, "optimisation.learning_rate": 0.001,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A root on which `pretrain` has run with the usual knobs, and its weights."""
    root = toys.root(tmp_path_factory.mktemp("pretrain") / "repository")
    pretrain.main(root)
    return root, (root / "data/pretrain/model.safetensors").read_bytes()


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_model(usual, knob):
    root, weights = usual
    before = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"pretrain.{knob}", KNOBS[knob])
    pretrain.main(root)
    (root / "params.yaml").write_bytes(before)
    assert (root / "data/pretrain/model.safetensors").read_bytes() != weights


def test_a_parametrisation_changes_the_model_and_is_in_its_config(usual, capsys):
    root, weights = usual
    before = (root / "params.yaml").read_bytes()
    content = toys.read_yaml(root / "params.yaml")
    content["pretrain"] |= {"parametrisation": "standard", "base_width": None}
    toys.write_params(root, content)
    pretrain.main(root)
    assert (root / "data/pretrain/model.safetensors").read_bytes() == weights
    content["pretrain"] |= {"parametrisation": "mup", "base_width": 32}
    toys.write_params(root, content)
    pretrain.main(root)
    (root / "params.yaml").write_bytes(before)
    assert (root / "data/pretrain/model.safetensors").read_bytes() != weights
    assert json.loads((root / "data/pretrain/config.json").read_text())["mup_base_width"] == 32
    assert "μP: the model is 2 times as wide as its base width of 32" in "".join(capsys.readouterr())


def test_held_out_documents_that_fill_no_row_are_not_measured(tokenizer):
    assert pretrain.validation_rows(tokenizer, [], params()) is None
    assert pretrain.validation_rows(tokenizer, ["red"], params()) is None
    rows = pretrain.validation_rows(tokenizer, list(toys.TEXTS), params(validation_tokens=40))
    assert rows.shape == (2, 16)


def test_copying_is_measured_by_the_likeliest_next_token(policy, tokenizer):
    """Made to say "red" always, a model is right where the text demands it."""
    head = policy.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[tokenizer(" red")["input_ids"][0]] = 1e3
    probes = [
        {"type": "word", "text": "Say red. Say ", "expected": "red"},
        {"type": "word", "text": "Say blue. Say", "expected": "blue"},
        {"type": "other", "text": "blue", "expected": "blue fox"},
    ]
    assert pretrain.copying(policy, tokenizer, probes, toys.runtime()) == {"copying": {"other": 0.0, "word": 0.5}}
    assert pretrain.copying(policy, tokenizer, [], toys.runtime()) == {}
