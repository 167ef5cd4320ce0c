"""The stage `reward_model`: rankings in, a scalar model out."""

import json
import shutil

import pytest

from rlhf.preferences import rewards
from rlhf.records import records
from stages import reward_model
from tests import toys


def prepared(root, tokenizer):
    """Give the root a policy, a base model and the first round's comparisons."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/pretrain", toys.policy(tokenizer, seed=9, spread=0.1), tokenizer)
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(4))
    return root


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    prepared(root, tokenizer)
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        reward_model.main(place, "r1")
    written = toys.file_bytes(root / "data/reward_model/r1") | toys.file_bytes(root / "metrics")
    assert written == toys.file_bytes(again / "data/reward_model/r1") | toys.file_bytes(again / "metrics")
    metrics = json.loads(written["reward_model/r1.json"])["reward_model"]["r1"]
    assert metrics["training_prompts"] == 8
    assert metrics["pairs"] == 3 * (4 + 2)  # four prompts, two of them with a second labeler
    assert {"plots/reward_model/r1.csv", "plots/reward_model/r1_calibration.csv", "model.safetensors"} <= set(written)
    config = json.loads(written["config.json"])
    assert {"reward_activation", "reward_shift", "reward_gain"} <= set(config)


KNOBS = {
    "loss": "direct", "backbone": "base", "epochs": 2, "batch_size": 8, "max_tokens": 8, "unit_std": False,
    "likelihood_coef": 1.0, "pooling": "last", "optimisation.learning_rate": 0.002,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory, tokenizer):
    """A root on which `reward_model` has run with the usual knobs, and what its model says of one answer."""
    root = prepared(toys.root(tmp_path_factory.mktemp("reward_model") / "repository"), tokenizer)
    toys.set_param(root, "reward_model.likelihood_coef", 0.0)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("\nreward_model:\n", "\nreward_model:\n  too_long: cut\n"))
    return root, score(root)


def score(root) -> float:
    reward_model.main(root, "r1")
    scorer = rewards.RewardScorer(root / "data/reward_model/r1", toys.runtime())
    return scorer.score_texts([[{"role": "user", "content": "Say red."}]], ["blue fox."])[0]


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_scores(usual, knob):
    root, before = usual
    kept = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"reward_model.{knob}", KNOBS[knob])
    after = score(root)
    (root / "params.yaml").write_bytes(kept)
    assert after != before
