"""The stage `judge`: set-aside rankings in, a judge out."""

import json
import shutil

import pytest

from rlhf.records import records
from stages import judge
from tests import toys


def test_the_set_aside_prompts_are_parted_whole_and_the_same_way_in_any_order():
    given = toys.comparisons(20)
    training, held_out = judge.halves(given)
    assert (len(training), len(held_out)) == (16, 4)
    assert sorted(record["id"] for record in training + held_out) == sorted(record["id"] for record in given)
    assert judge.halves(given[::-1]) == (training, held_out)


def test_too_few_comparisons_say_what_to_raise():
    with pytest.raises(ValueError, match=r"at least 10 .*, got 9: .*max_judge_prompts"):
        judge.halves(toys.comparisons(9))


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/pretrain", toys.policy(tokenizer, seed=9, spread=0.1), tokenizer)
    records.write(root / "data/collect_comparisons/r1/comparisons.judge.jsonl", toys.comparisons(12))
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        judge.main(place)
    written = toys.file_bytes(root / "data/judge") | toys.file_bytes(root / "metrics")
    assert written == toys.file_bytes(again / "data/judge") | toys.file_bytes(again / "metrics")
    assert json.loads(written["judge.json"])["judge"]["training_prompts"] == 10
    assert {"plots/judge.csv", "plots/judge/calibration.csv", "model.safetensors"} <= set(written)
