"""The stage `collect_comparisons`: answers of a policy, ranked by labelers and added to the rankings so far."""

import json
import shutil

import pytest
import torch

from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.world.grading import gold
from stages import collect_answers, collect_comparisons
from tests import notebook, toys
from tests.test_collect_answers import prepared

FOLDER = "data/collect_comparisons/r1"


def rank(root, round_name: str = "r1") -> None:
    """Sample answers and have them ranked."""
    collect_answers.main(root, round_name)
    collect_comparisons.main(root, round_name)


def collected(root) -> dict[str, list[dict]]:
    return {
        name: records.read(root / FOLDER / f"comparisons.{name}.jsonl", Comparison)
        for name in collect_comparisons.FILES
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory, tokenizer):
    """A root on which the stage has run."""
    root = prepared(toys.root(tmp_path_factory.mktemp("collect_comparisons") / "repository"), tokenizer)
    rank(root)
    return root


def test_what_it_reads_is_an_input_of_its_run(root, tokenizer, recorder, files_read):
    collect_answers.main(prepared(root, tokenizer), "r1")
    files_read.clear()
    toys.set_param(root, "tracking.enabled", True)
    collect_comparisons.main(root, "r1")
    notebook.check_inputs(root, "collect_comparisons", recorder, files_read)


def test_run_twice_it_writes_the_same_bytes(done, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(done, again)
    shutil.rmtree(again / FOLDER)
    shutil.rmtree(again / "metrics")
    toys.set_param(again, "collect_answers.batch_size", 5)  # changes speed only
    torch.rand(7)
    rank(again)
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
    for name, value in {"collect_comparisons.labelers": None, "collect_answers.max_prompts": 0}.items():
        toys.set_param(root, name, value)
    toys.set_param(root, "collect_answers.max_judge_prompts", 0)
    rank(root)
    files = collected(root)
    assert len(files["train"]) + len(files["validation"]) == 30
    assert 1 <= len(files["validation"]) <= 12
    assert files["judge"] == []


def test_without_any_comparison_it_says_what_to_do(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer), tokenizer)
    with pytest.raises(ValueError, match=r"no comparisons: .* \(a source of kind world\)"):
        rank(root)  # the toy prompts carry no task, so nobody can rank their answers


def test_answered_prompts_that_simulated_labelers_do_not_know_are_counted_on_the_screen(root, tokenizer, capsys):
    toys.set_param(prepared(root, tokenizer), "collect_answers.prompts_with", "any")
    toys.set_param(root, "collect_answers.max_prompts", 18)
    rank(root)
    lines = [line for line in capsys.readouterr().out.splitlines() if "get no comparisons" in line]
    assert lines == [
        "collect_comparisons@r1  2 of the 18 answered prompts of pool train get no comparisons: simulated labelers "
        "rank answers to prompts of the embedded world alone"
    ]


def test_a_later_round_adds_to_the_earlier_ones_comparisons(done, tmp_path, tokenizer):
    root = tmp_path / "repository"
    shutil.copytree(done, root)
    toys.save(root / "data/ppo/r1", toys.policy(tokenizer, seed=8), tokenizer)
    toys.set_param(root, "rounds", read_yaml(root / "params.yaml")["rounds"] | {
        "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"}
    })  # fmt: skip
    rank(root, "r2")
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


def test_empty_files_of_which_dvc_warns_are_explained(root, tokenizer, capsys):
    prepared(root, tokenizer)
    records.write(root / "data/collect_prompts/comparisons.train.jsonl", toys.comparisons(3))
    rank(root)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "no source gives" in line]
    assert "comparisons for validation, judge: those files of data/collect_prompts are empty" in line
    for name in collect_comparisons.FILES:
        records.write(root / f"data/collect_prompts/comparisons.{name}.jsonl", toys.comparisons(3))
    collect_comparisons.main(root, "r1")
    assert "no source gives" not in capsys.readouterr().out
