"""The stage `dpo`: a policy that learns from the reward model's comparisons without a reward model."""

import json
import shutil

import pytest
import torch

from rlhf.dpo import objective
from rlhf.models import loading
from rlhf.params.training.dpo import Dpo
from rlhf.preferences import preference_training
from rlhf.records import records
from rlhf.runtime import failures, seeds
from rlhf.tokens import batching
from rlhf.training import epochs, left_out
from stages import dpo
from tests import notebook, toys
from tests.breaking import broken_off

RUNTIME = toys.runtime()
KNOBS = {
    "beta": 0.5, "epochs": 2, "batch_size": 8, "max_tokens": 20, "max_comparisons": 4,
    "optimisation.learning_rate": 0.002,
}  # fmt: skip


def prepared(root, tokenizer, training: list[dict] | None = None):
    """Give the root a policy and the first round's comparisons."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", training or toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(4))
    return root


def written(root) -> dict[str, bytes]:
    return toys.file_bytes(root / "data/dpo") | toys.file_bytes(root / "metrics")


def metrics(root) -> dict:
    return json.loads((root / "metrics/dpo.json").read_text())["dpo"]


def logprobs(root, place: str) -> list[float]:
    """Return what a policy says of the answers to the toys' first two prompts."""
    model, tokenizer = loading.load_policy(root / place, RUNTIME)
    groups = preference_training.encode(tokenizer, toys.comparisons(2), toys.section(Dpo, "dpo")).groups
    return objective.answer_logprobs(model, [group.rows for group in groups], RUNTIME).tolist()


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    prepared(root, tokenizer)
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        dpo.main(place)
    assert written(root) == written(again)
    found = metrics(root)
    assert found["training_prompts"] == 8
    assert found["training_pairs"] == 3 * (8 + 3)  # three prompts have a second labeler
    assert found["prompts_without_pairs"] == 0
    assert found["kept_epoch"] == 1
    policy, made = loading.load_policy(root / "data/dpo", RUNTIME)
    start, _ = loading.load_policy(root / "data/sft", RUNTIME)
    assert made.chat_template == tokenizer.chat_template
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)


def test_the_first_loss_is_log_2_for_the_policy_begins_as_its_reference(root, tokenizer):
    dpo.main(prepared(root, tokenizer))
    curve = notebook.curve_of(root / "metrics/plots/dpo.csv")
    assert curve[1]["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert curve[1]["reward_of_better"] == pytest.approx(0, abs=1e-4)


def test_what_was_dropped_is_counted_and_said(root, tokenizer, capsys):
    tied, long, *others = toys.comparisons(8)
    tied["labels"] = [{"labeler": "a", "ranks": [1, 1, 1], "scores": None, "scale": None}]
    long["responses"][0] = " ".join(["fox"] * 60)
    dpo.main(prepared(root, tokenizer, [tied, long, *others]))
    found = metrics(root)
    assert (found["training_prompts"], found["prompts_without_pairs"], found["too_long"]) == (6, 1, 1)
    assert "1 comparisons with more than max_tokens 48 are left out (too_long)" in capsys.readouterr().out


def test_an_obvious_preference_is_learned_and_answers_become_likelier(tokenizer):
    rate = {"learning_rate": 0.01, "warmup_steps": 0}
    chosen = toys.section(Dpo, "dpo", epochs=8, select="last", optimisation=rate)
    model = toys.policy(tokenizer, spread=0.1)
    groups = preference_training.encode(tokenizer, toys.comparisons(24), chosen).groups
    examples = objective.with_reference(model, groups, chosen, RUNTIME)
    data = dpo.Data(examples, examples[:6])
    curve = list(dpo.train(model, data, chosen, RUNTIME, seed=1))
    assert len(curve) == epochs.count_steps(len(examples), chosen) == 48
    assert [point["step"] for point in curve if "validation_loss" in point] == [6 * epoch for epoch in range(1, 9)]
    assert curve[0]["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert curve[-1]["validation_loss"] < 0.3
    assert curve[-1]["validation_accuracy"] > 0.9
    assert curve[-1]["validation_reward_of_better"] > curve[-1]["validation_reward_of_worse"] + 0.5
    assert not model.training


def test_the_best_epochs_weights_are_kept_or_the_last(tokenizer):
    """Held-out labelers want the contrary, so that each epoch is worse than the one before."""
    contrary = toys.comparisons(4)
    for comparison in contrary:
        comparison["labels"] = [{"labeler": "a", "ranks": [3, 2, 1]}]
    found = {}
    for select in ("best_validation", "last"):
        rate = {"learning_rate": 0.003, "warmup_steps": 0, "schedule": "constant"}
        chosen = toys.section(Dpo, "dpo", epochs=4, select=select, optimisation=rate)
        model = toys.policy(tokenizer, spread=0.1)
        groups = preference_training.encode(tokenizer, toys.comparisons(8), chosen).groups
        held_out = preference_training.encode(tokenizer, contrary, chosen).groups
        data = dpo.Data(*(objective.with_reference(model, some, chosen, RUNTIME) for some in (groups, held_out)))
        curve = list(dpo.train(model, data, chosen, RUNTIME, seed=1))
        losses = [point["validation_loss"] for point in curve if "validation_loss" in point]
        told, measured = epochs.kept(curve, chosen), objective.validate(model, data.validation, chosen, RUNTIME)
        assert measured["validation_loss"] == pytest.approx(told["validation_loss"], rel=1e-5)
        found[select] = losses, told
    losses, best = found["best_validation"]
    assert losses == found["last"][0]
    assert min(losses) < losses[-1]
    assert best["kept_epoch"] == losses.index(min(losses)) + 1
    assert found["last"][1] | {"validation_loss": losses[-1], "kept_epoch": 4} == found["last"][1]


def test_a_step_that_breaks_down_is_named_with_its_records(tokenizer):
    chosen = toys.section(Dpo, "dpo", batch_size=2)
    model = toys.policy(tokenizer)
    groups = preference_training.encode(tokenizer, toys.comparisons(4), chosen).groups
    examples = objective.with_reference(model, groups, chosen, RUNTIME)
    training = dpo.train(model, dpo.Data(examples, examples), chosen, RUNTIME, seed=1)
    order = [*batching.epochs(4, 2, 1, seeds.derive(1, "order"))]
    next(training)
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    with pytest.raises(failures.NotFinite) as error:
        next(training)
    named = ", ".join(examples[index].record for index in order[1])
    assert str(error.value).endswith(f"; records of its batch: {named}")


def test_killed_it_goes_on_to_the_same_bytes(root, tokenizer, tmp_path, monkeypatch, capsys):
    """The reference is what SFT says, not what the policy says after the steps that were done."""
    prepared(root, tokenizer)
    toys.set_param(root, "checkpoints.every_seconds", 0.0)
    toys.set_param(root, "dpo.epochs", 3)
    other = tmp_path / "other"
    shutil.copytree(root, other)
    dpo.main(other)
    broken_off(monkeypatch, 3, lambda: dpo.main(root))
    assert not (root / "data/dpo").exists()
    capsys.readouterr()
    dpo.main(root)
    assert "goes on after step 3" in capsys.readouterr().out
    assert written(root) == written(other)


@pytest.fixture(scope="module")
def usual(tmp_path_factory, tokenizer):
    """A root on which `dpo` has run with the usual knobs, and what its policy says of some answers."""
    root = prepared(toys.root(tmp_path_factory.mktemp("dpo") / "repository"), tokenizer)
    dpo.main(root)
    return root, logprobs(root, "data/dpo")


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_policy(usual, knob):
    root, before = usual
    kept = (root / "params.yaml").read_bytes()
    toys.set_param(root, f"dpo.{knob}", KNOBS[knob])
    dpo.main(root)
    (root / "params.yaml").write_bytes(kept)
    assert logprobs(root, "data/dpo") != before


def test_left_out_it_says_so_and_trains_nothing(root, tokenizer, capsys):
    toys.set_param(prepared(root, tokenizer), "dpo.train", False)
    dpo.main(root)
    assert "not trained, for dpo.train is false" in capsys.readouterr().out
    assert left_out.is_left_out(root / "data/dpo")
    assert metrics(root) == {"training_prompts": 0}
    assert (root / "metrics/plots/dpo.csv").is_file()
    toys.set_param(root, "dpo.train", True)
    dpo.main(root)
    assert not left_out.is_left_out(root / "data/dpo")


def test_a_folder_that_is_missing_or_broken_or_a_model_with_a_card_is_not_one_that_was_left_out(tmp_path):
    assert not left_out.is_left_out(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert not left_out.is_left_out(tmp_path)
    (tmp_path / "README.md").write_text("# No policy\n")
    assert left_out.is_left_out(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not left_out.is_left_out(tmp_path)
