"""The stage `feedme`: fine-tuning on the answers that labelers ranked best."""

import json
import shutil

import torch

from rlhf.models import loading
from rlhf.records import records
from stages import feedme
from tests import toys


def test_the_best_answer_has_the_best_mean_rank_and_the_first_of_equals_wins():
    def comparison(*rankings: list[int]) -> dict:
        labels = [{"labeler": "a", "ranks": ranks} for ranks in rankings]
        return {
            "category": "chat",
            "language": "en",
            "user": "u",
            "source": "toy",
            "id": "toy",
            "messages": [{"role": "user", "content": "?"}],
            "responses": ["x", "y", "z"],
            "labels": labels,
        }

    given = [comparison([2, 1, 3]), comparison([1, 2, 3], [3, 1, 2]), comparison([2, 1, 1])]
    assert [record["response"] for record in feedme.best_responses(given)] == ["y", "y", "y"]
    assert feedme.best_responses([comparison([1, 2, 3], [2, 1, 3])])[0]["response"] == "x"


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(3))
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        feedme.main(place)
    written = toys.file_bytes(root / "data/feedme") | toys.file_bytes(root / "metrics")
    assert written == toys.file_bytes(again / "data/feedme") | toys.file_bytes(again / "metrics")
    assert json.loads(written["feedme.json"])["feedme"]["demonstrations"] == 8
    policy, made = loading.load_policy(root / "data/feedme", toys.runtime())
    start, _ = loading.load_policy(root / "data/sft", toys.runtime())
    assert made.chat_template == tokenizer.chat_template
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)
