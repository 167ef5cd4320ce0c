"""The stage `sft`: a base model and demonstrations in, a policy out."""

import json
import shutil

import pytest
import torch

from rlhf.models import loading
from rlhf.tokens import chat
from stages import sft
from tests import toys


@pytest.fixture
def ready(root):
    """A root with a random base model, its tokenizer still with the template of plain text."""
    base_tokenizer = toys.tokenizer()
    base_tokenizer.chat_template = chat.BASE_TEMPLATE
    toys.save(root / "data/pretrain", toys.policy(base_tokenizer, spread=0.1), base_tokenizer)
    return root


def written(root) -> dict[str, bytes]:
    return toys.file_bytes(root / "data/sft") | toys.file_bytes(root / "metrics")


@pytest.mark.parametrize("template", ["plain", "markers"])
def test_the_policy_answers_in_turns_and_its_measures_are_written(ready, template):
    toys.set_param(ready, "sft.template", template)
    sft.main(ready)
    policy, tokenizer = loading.load_policy(ready / "data/sft", toys.runtime())
    base, base_tokenizer = loading.load_policy(ready / "data/pretrain", toys.runtime())
    assert tokenizer.chat_template == chat.FINE_TUNED[template]
    assert base_tokenizer.chat_template == chat.BASE_TEMPLATE
    assert tokenizer.get_vocab() == base_tokenizer.get_vocab()
    assert not torch.equal(policy.lm_head.weight, base.lm_head.weight)
    metrics = json.loads((ready / "metrics/sft.json").read_text())["sft"]
    assert metrics["demonstrations"] + metrics["too_long"] == 8
    assert metrics["kept_epoch"] in (1, 2)
    lines = (ready / "metrics/plots/sft.csv").read_text().splitlines()
    assert lines[0] == "step,loss,learning_rate,grad_norm,validation_loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]  # 8 demonstrations, 4 an update, 2 epochs


def test_run_twice_it_writes_the_same_bytes(ready, tmp_path):
    toys.set_param(ready, "sft.dropout", 0.1)
    again = tmp_path / "elsewhere"
    shutil.copytree(ready, again)
    for root in (ready, again):
        torch.rand(7)  # what other code has drawn in this process changes nothing
        sft.main(root)
    assert written(ready) == written(again)


KNOBS = {
    "epochs": 3, "batch_size": 8, "max_tokens": 24, "dropout": 0.5, "lm_coef": 0.5,
    "optimisation.learning_rate": 0.002, "optimisation.schedule": "constant", "optimisation.warmup_steps": 2,
    "optimisation.adam_beta1": 0.5, "optimisation.adam_beta2": 0.5, "optimisation.adam_eps": 0.01,
    "optimisation.weight_decay": 0.5, "optimisation.final_share": 0.9, "optimisation.max_grad_norm": 0.01,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A root on which `sft` has run with the usual knobs, and its weights."""
    root = toys.root(tmp_path_factory.mktemp("sft") / "repository")
    base_tokenizer = toys.tokenizer()
    toys.save(root / "data/pretrain", toys.policy(base_tokenizer, spread=0.1), base_tokenizer)
    toys.set_param(root, "sft.select", "last")
    sft.main(root)
    return root, (root / "data/sft/model.safetensors").read_bytes()


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_policy(usual, knob):
    root, weights = usual
    before = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"sft.{knob}", KNOBS[knob])
    sft.main(root)
    (root / "params.yaml").write_bytes(before)
    assert (root / "data/sft/model.safetensors").read_bytes() != weights


def test_dropout_is_off_in_the_saved_policy(ready):
    toys.set_param(ready, "sft.dropout", 0.3)
    sft.main(ready)
    assert json.loads((ready / "data/sft/config.json").read_text())["attention_dropout"] == 0.0
