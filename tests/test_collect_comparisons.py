"""The stage `collect_comparisons`: answers of a policy, ranked by labelers and added to the rankings so far."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runs import checkpoints
from rlhf.training.context import StageContext
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from stages import collect_comparisons
from tests import notebook, toys

FOLDER = "data/collect_comparisons/r1"


def world_prompts(count: int, first: int) -> list[dict]:
    """Return prompts of the embedded world with their tasks."""
    made = []
    for number in range(first, first + count):
        task, messages, category = tasks.draw(random.Random(number), "seen")
        made.append(toys.prompt(number, "") | {"messages": messages, "category": category, "task": task})
    return made


def prepared(root, tokenizer):
    """Give the root prompts with tasks and a random policy that ends its answers in time."""
    policy = toys.policy(tokenizer, spread=0.3)
    toys.save(root / "data/sft", policy, tokenizer)
    source = root / "data/collect_prompts"
    records.write(source / "prompts.reward_model.jsonl", [*world_prompts(16, first=0), *toys.prompts(2)])
    records.write(source / "prompts.judge.jsonl", world_prompts(6, first=100))
    for name, value in {"max_prompts": 12, "max_judge_prompts": 5, "max_prompt_tokens": 1000}.items():
        toys.set_param(root, f"collect_comparisons.{name}", value)
    return root


def collected(root) -> dict[str, list[dict]]:
    return {
        name: records.read(root / FOLDER / f"comparisons.{name}.jsonl", Comparison)
        for name in collect_comparisons.FILES
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory, tokenizer):
    """A root on which the stage has run."""
    root = prepared(toys.root(tmp_path_factory.mktemp("collect_comparisons") / "repository"), tokenizer)
    collect_comparisons.main(root, "r1")
    return root


def test_what_it_reads_is_an_input_of_its_run(root, tokenizer, recorder, files_read):
    toys.set_param(prepared(root, tokenizer), "tracking.enabled", True)
    collect_comparisons.main(root, "r1")
    notebook.check_inputs(root, "collect_comparisons", recorder, files_read)


def test_run_twice_it_writes_the_same_bytes(done, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(done, again)
    shutil.rmtree(again / FOLDER)
    shutil.rmtree(again / "metrics")
    toys.set_param(again, "collect_comparisons.batch_size", 5)  # changes speed only
    torch.rand(7)
    collect_comparisons.main(again, "r1")
    assert toys.file_bytes(done / "data") == toys.file_bytes(again / "data")
    assert toys.file_bytes(done / "metrics") == toys.file_bytes(again / "metrics")


def test_each_prompt_has_different_answers_ranked_by_four_labelers_or_all_three_held_out_ones(done):
    files = collected(done)
    assert len(files["train"]) + len(files["validation"]) == 12
    assert len(files["judge"]) == 5
    for name, comparisons in files.items():
        for record in comparisons:
            count = len(record["responses"])
            assert len(set(record["responses"])) == count
            assert 2 <= count <= 4
            assert len(record["labels"]) == (3 if name == "judge" else 4)
            for label in record["labels"]:
                assert label["labeler"].startswith("held_out_" if name == "judge" else "labeler_")
                assert len(label["ranks"]) == len(label["scores"]) == count
                assert min(label["ranks"]) == 1
            assert record["gold"] == [gold.score(record["task"], text).score for text in record["responses"]]


def test_a_prompts_answers_take_the_temperatures_in_turn(done, tmp_path, monkeypatch):
    root, seen = tmp_path / "repository", {}
    shutil.copytree(done, root)
    toys.set_param(root, "collect_comparisons.temperatures", [0.5, 2.0])
    respond = collect_comparisons.rollouts.respond

    def noted(model, tokenizer, dialogues, row_ids, sampling):
        seen.update(dict.fromkeys(row_ids, sampling.temperature))
        return respond(model, tokenizer, dialogues, row_ids, sampling)

    monkeypatch.setattr(collect_comparisons.rollouts, "respond", noted)
    collect_comparisons.main(root, "r1")
    assert set(seen.values()) == {0.5, 2.0}
    for row_id, temperature in seen.items():
        assert temperature == [0.5, 2.0][int(row_id.rpartition("/")[2]) % 2]


def test_no_prompt_is_on_two_sides(done):
    sides = [{record["id"] for record in comparisons} for comparisons in collected(done).values()]
    assert not sides[0] & sides[1]
    assert sides[1]


def test_metrics_count_what_was_written(done):
    files = collected(done)
    everything = [record for comparisons in files.values() for record in comparisons]
    metrics = json.loads((done / "metrics/collect_comparisons/r1.json").read_text())["collect_comparisons"]["r1"]
    assert metrics["prompts"] == {name: len(comparisons) for name, comparisons in files.items()}
    assert metrics["new_prompts"] == 17
    assert metrics["answers"] == sum(len(record["responses"]) for record in everything)
    pairs = [records.pairs(label["ranks"]) for record in everything for label in record["labels"]]
    assert metrics["pairs"] == sum(len(ordered) for ordered in pairs)


def test_k_is_drawn_from_its_range():
    params = collect_comparisons.CollectComparisonsInputs.model_fields["collect_comparisons"].annotation
    chosen = toys.section(params, "collect_comparisons", min_responses=2, max_responses=9)

    class Run:
        def progress(self, step, total, metrics):
            pass

    tokenizer = toys.tokenizer()
    policy = collect_comparisons.Policy(toys.policy(tokenizer, spread=0.05), tokenizer)  # nearly all answers differ
    context = StageContext(Path(), "collect_comparisons", "r1", toys.runtime(), 1, checkpoints.NONE, Run())
    answered = collect_comparisons.sample(policy, toys.prompts(60), chosen, context)
    sizes = [len(responses) for _, responses in answered]
    assert set(sizes) == set(range(2, 10))


def test_a_prompts_side_does_not_hang_on_the_prompts_before_it():
    given = toys.comparisons(60)
    training, validation = collect_comparisons.held_out(given, 0.3)
    assert 8 <= len(validation) <= 28
    for others in (given[::-1], given[7:], given[7:] + given[:7], toys.comparisons(200)):
        again, apart = collect_comparisons.held_out(others, 0.3)
        assert [record for record in again if record in given] == [record for record in others if record in training]
        assert [record for record in apart if record in given] == [record for record in others if record in validation]


def test_given_comparisons_alone_are_parted_by_prompt(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer), tokenizer)
    records.write(root / "data/collect_prompts/comparisons.train.jsonl", toys.comparisons(30))
    for name, value in {"labelers": None, "max_prompts": 0, "max_judge_prompts": 0}.items():
        toys.set_param(root, f"collect_comparisons.{name}", value)
    collect_comparisons.main(root, "r1")
    files = collected(root)
    assert len(files["train"]) + len(files["validation"]) == 30
    assert 1 <= len(files["validation"]) <= 12
    assert files["judge"] == []


def test_without_any_comparison_it_says_what_to_do(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer), tokenizer)
    with pytest.raises(ValueError, match=r"no comparisons: .* \(a source of kind world\)"):
        collect_comparisons.main(root, "r1")  # the toy prompts carry no task, so nobody can rank their answers


def test_prompts_that_simulated_labelers_do_not_know_are_counted_on_the_screen(root, tokenizer, capsys):
    collect_comparisons.main(prepared(root, tokenizer), "r1")
    lines = [line for line in capsys.readouterr().out.splitlines() if "get no comparisons" in line]
    assert lines == [
        "collect_comparisons@r1  2 of the 18 prompts of prompts.reward_model get no comparisons: simulated labelers "
        "rank answers to prompts of the embedded world alone"
    ]
    toys.set_param(root, "collect_comparisons.max_prompts", 0)
    records.write(root / "data/collect_prompts/comparisons.train.jsonl", toys.comparisons(3))
    collect_comparisons.main(root, "r1")
    assert "get no comparisons" not in capsys.readouterr().out, "none was asked for"


def test_a_later_round_adds_to_the_earlier_ones_comparisons(done, tmp_path, tokenizer):
    root = tmp_path / "repository"
    shutil.copytree(done, root)
    toys.save(root / "data/ppo/r1", toys.policy(tokenizer, seed=8), tokenizer)
    toys.set_param(root, "rounds", read_yaml(root / "params.yaml")["rounds"] | {
        "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}
    })  # fmt: skip
    collect_comparisons.main(root, "r2")
    first = collected(root)
    for name, comparisons in first.items():
        both = records.read(root / f"data/collect_comparisons/r2/comparisons.{name}.jsonl", Comparison)
        assert both[: len(comparisons)] == comparisons
        assert len(both) > len(comparisons)
        assert both[len(comparisons)]["responses"] != comparisons[0]["responses"]
    train, validation = (
        {
            record["id"]
            for record in records.read(root / f"data/collect_comparisons/r2/comparisons.{name}.jsonl", Comparison)
        }
        for name in ("train", "validation")
    )
    assert not train & validation  # a prompt stays on its side in every round


def test_prompts_of_the_demonstrations_can_be_answered_again(done, tmp_path):
    root = tmp_path / "repository"
    shutil.copytree(done, root)
    toys.set_param(root, "collect_comparisons.prompts", "sft")
    used = [prompt | {"kind": "demonstration", "response": "red fox."} for prompt in world_prompts(9, first=500)]
    records.write(root / "data/collect_prompts/demonstrations.train.jsonl", used)
    collect_comparisons.main(root, "r1")
    found = collected(root)
    assert {record["id"] for record in found["train"] + found["validation"]} <= {prompt["id"] for prompt in used}
    assert found["judge"] == collected(done)["judge"]


def test_empty_files_of_which_dvc_warns_are_explained(root, tokenizer, capsys):
    prepared(root, tokenizer)
    records.write(root / "data/collect_prompts/comparisons.train.jsonl", toys.comparisons(3))
    collect_comparisons.main(root, "r1")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no source gives" in line]
    assert "comparisons for validation, judge: those files of data/collect_prompts are empty" in line
    for name in collect_comparisons.FILES:
        records.write(root / f"data/collect_prompts/comparisons.{name}.jsonl", toys.comparisons(3))
    collect_comparisons.main(root, "r1")
    assert "no source gives" not in capsys.readouterr().out
