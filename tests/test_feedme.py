"""The stage `feedme`: fine-tuning on the answers that labelers ranked best."""

import json
import shutil

import pytest
import torch

from rlhf.models import loading
from rlhf.params.base import ParamsError
from rlhf.params.feedme import Feedme
from rlhf.records import records
from stages import feedme
from tests import toys


def params(learn: str = "first", within_rank: float | None = None) -> Feedme:
    return toys.section(Feedme, "feedme", learn=learn, within_rank=within_rank)


def comparison(*rankings: list[int]) -> dict:
    labels = [{"labeler": f"labeler_{number}", "ranks": ranks} for number, ranks in enumerate(rankings)]
    about = {"category": "chat", "language": "en", "user": "u", "source": "toy", "id": "toy"}
    return about | {"messages": [{"role": "user", "content": "?"}], "responses": ["x", "y", "z"], "labels": labels}


def responses(given: list[dict], chosen: Feedme) -> list[str]:
    return [record["response"] for record in feedme.best_responses(given, chosen)]


def test_the_best_answer_has_the_best_mean_rank_and_the_first_of_equals_wins():
    given = [comparison([2, 1, 3]), comparison([1, 2, 3], [3, 1, 2]), comparison([2, 1, 1])]
    assert responses(given, params()) == ["y", "y", "y"]
    assert responses([comparison([1, 2, 3], [2, 1, 3])], params()) == ["x"]


def test_all_that_tie_for_best_are_learned_where_they_shall_be():
    given = [comparison([2, 1, 3]), comparison([1, 2, 3], [2, 1, 3]), comparison([1, 1, 1]), comparison([2, 1, 1])]
    assert responses(given, params("all_best")) == ["y", "x", "y", "x", "y", "z", "y", "z"]


def test_within_a_rank_of_the_best_is_measured_in_mean_ranks_and_takes_in_its_bound():
    """Of four labelers a sum of 4, 5 and 6 is a mean rank of 1, 1.25 and 1.5."""
    given = [comparison([1, 1, 2], [1, 1, 2], [1, 1, 1], [1, 2, 1])]
    assert responses(given, params("within", 0.24)) == ["x"]
    assert responses(given, params("within", 0.25)) == ["x", "y"]
    assert responses(given, params("within", 0.5)) == ["x", "y", "z"]


@pytest.mark.parametrize(("learn", "within_rank"), [("first", 0.5), ("all_best", 0.5), ("within", None)])
def test_a_distance_is_given_where_it_is_read_and_nowhere_else(learn, within_rank):
    with pytest.raises(ParamsError, match=f"feedme: within_rank must be given .* learn is '{learn}'"):
        params(learn, within_rank)


def prepared(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    source = root / "data/collect_comparisons/r1"
    records.write(source / "comparisons.train.jsonl", toys.comparisons(8))
    records.write(source / "comparisons.validation.jsonl", toys.comparisons(3))
    return root


def written(root) -> dict[str, bytes]:
    return toys.file_bytes(root / "data/feedme") | toys.file_bytes(root / "metrics")


def test_run_twice_it_writes_the_same_bytes(root, tokenizer, tmp_path):
    prepared(root, tokenizer)
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        feedme.main(place)
    assert written(root) == written(again)
    assert json.loads(written(root)["feedme.json"])["feedme"]["demonstrations"] == 8
    policy, made = loading.load_policy(root / "data/feedme", toys.runtime())
    start, _ = loading.load_policy(root / "data/sft", toys.runtime())
    assert made.chat_template == tokenizer.chat_template
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)


def test_what_else_is_learned_is_said_and_counted_and_without_ties_it_is_the_first(root, tokenizer, tmp_path, capsys):
    """The toys' labelers tie nothing, so that all of the best are the first; within a rank stands one more."""
    prepared(root, tokenizer)
    found = {}
    for learn, within_rank in (("first", None), ("all_best", None), ("within", 1.0)):
        place = tmp_path / learn
        shutil.copytree(root, place)
        toys.set_param(place, "feedme.learn", learn)
        toys.set_param(place, "feedme.within_rank", within_rank)
        feedme.main(place)
        found[learn] = written(place)
        said = capsys.readouterr().out
        count = {"first": 8, "all_best": 8, "within": 16}[learn]
        assert (f"of 8 comparisons {count} answers are learned" in said) == (learn != "first")
        assert json.loads(found[learn]["feedme.json"])["feedme"]["demonstrations"] == count
    assert found["all_best"] == found["first"]
    assert found["within"]["model.safetensors"] != found["first"]["model.safetensors"]
