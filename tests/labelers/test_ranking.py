"""The stage with labelers of every kind: all prompts get labels, and others may rank for the judge."""

import json

import pytest

from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.world.grading import gold
from tests import toys
from tests.labelers import asked
from tests.labelers.judge_server import Raw, by_length, judging
from tests.test_collect_answers import prepared, world_prompts
from tests.test_collect_comparisons import collected, rank

TASTE = """
def length(messages, answers):
    assert all(turns[-1]["role"] == "user" for turns in messages)
    return [float(len(answer)) for answer in answers]

def shortness(messages, answers):
    return [-float(len(answer)) for answer in answers]
"""
FUNCTION = {"kind": "function", "function": "my_taste:length", "tie_threshold": 2.0, "scale": {"low": 0.0, "high": 8.0}}
LINE = "ranks for the reward model and for the judge"


@pytest.fixture
def place(root, tokenizer):
    """A root with prompts with and without tasks, a policy that answers them, and a module of functions."""
    prepared(root, tokenizer)
    mixed = [*toys.prompts(9), *world_prompts(3, first=200)]
    records.write(root / "data/collect_prompts/prompts.reward_model.jsonl", mixed)
    records.write(root / "data/collect_prompts/prompts.judge.jsonl", toys.prompts(14)[9:])
    toys.set_param(root, "collect_answers.prompts_with", "any")
    with asked.functions(root, TASTE):
        yield root


def metrics(root) -> dict:
    return json.loads((root / "metrics/collect_comparisons/r1.json").read_text())["collect_comparisons"]["r1"]


def test_a_function_ranks_answers_to_all_prompts_with_ties_and_on_its_scale(place, capsys):
    toys.set_param(place, "collect_comparisons.labelers", FUNCTION)
    rank(place)
    files = collected(place)
    assert len(files["train"]) + len(files["validation"]) >= 10
    assert len(files["judge"]) >= 4
    assert any("task" in record for record in files["train"] + files["validation"])
    for record in [record for comparisons in files.values() for record in comparisons]:
        (label,) = record["labels"]
        lengths = [float(len(response)) for response in record["responses"]]
        assert label["labeler"] == "function:my_taste:length"
        assert label["scores"] == [min(8.0, length) for length in lengths]
        assert label["scale"] == [0.0, 8.0]
        for one, other in records.pairs(label["ranks"]):
            assert lengths[one] > lengths[other]
        assert label["ranks"][lengths.index(max(lengths))] == 1
        if "task" in record:
            assert record["gold"] == [gold.score(record["task"], text).score for text in record["responses"]]
        else:
            assert "gold" not in record
    outside = sum(len(text) > 8 for record in files["judge"] for text in record["responses"])
    assert metrics(place)["labelling"]["judge"]["scores_outside_scale"] == outside
    assert LINE in capsys.readouterr().out


def test_another_labeler_ranks_for_the_judge_where_it_is_named(place, capsys):
    toys.set_param(place, "collect_comparisons.labelers", FUNCTION)
    content = read_yaml(place / "params.yaml")
    other = FUNCTION | {"function": "my_taste:shortness", "scale": None}
    content["collect_comparisons"]["judge_labelers"] = other
    toys.write_params(place, content)
    rank(place)
    files = collected(place)
    assert {label["labeler"] for record in files["train"] for label in record["labels"]} == {"function:my_taste:length"}
    for record in files["judge"]:
        (label,) = record["labels"]
        assert (label["labeler"], label["scale"]) == ("function:my_taste:shortness", None)
        assert label["ranks"][min(range(len(record["responses"])), key=lambda k: len(record["responses"][k]))] == 1
    assert LINE not in capsys.readouterr().out


def test_an_adopted_reward_model_ranks_by_its_scores(place, tokenizer):
    from rlhf.params.rewards import AdoptedReward
    from rlhf.rewards.adopted import AdoptedScorer

    toys.save(place / "models/reward", toys.reward_model(tokenizer), tokenizer)
    labeler = {"kind": "reward_model", "path": "models/reward", "tie_threshold": 0.0}
    toys.set_param(place, "collect_comparisons.labelers", labeler)
    rank(place)
    adopted = AdoptedReward(path="models/reward", revision=None, label=None)
    scorer = AdoptedScorer(adopted, place, toys.runtime())
    for record in collected(place)["judge"]:
        (label,) = record["labels"]
        texts = record["responses"]
        assert label["scores"] == pytest.approx(scorer.score_texts([record["messages"]] * len(texts), texts))
        assert label["ranks"] == records.ranks_of(label["scores"])
        assert (label["labeler"], label["scale"]) == ("reward_model:models/reward", None)


def test_a_reward_model_of_this_project_ranks_by_the_scorer_in_its_folder(place, tokenizer):
    """Its score is a mean over the answer, which no standard class gives."""
    from rlhf.models.reward_head import RewardMeaning
    from rlhf.params.rewards import AdoptedReward
    from rlhf.preferences import publishing
    from rlhf.rewards import adopted

    publishing.publish(toys.reward_model(tokenizer), tokenizer, place / "models/reward", RewardMeaning("mean", 0.0))
    labeler = {"kind": "reward_model", "path": "models/reward", "tie_threshold": 0.0}
    toys.set_param(place, "collect_comparisons.labelers", labeler)
    rank(place)
    scorer = adopted.opened(AdoptedReward(path="models/reward", revision=None, label=None), place, toys.runtime())
    for record in collected(place)["judge"]:
        texts = record["responses"]
        expected = scorer.score_texts([record["messages"]] * len(texts), texts)
        assert record["labels"][0]["scores"] == pytest.approx(expected)


def test_simulated_labelers_may_rank_for_one_side_and_a_judge_for_the_other(place, capsys):
    with judging(by_length) as judge:
        content = read_yaml(place / "params.yaml")
        content["collect_comparisons"]["judge_labelers"] = asked.JUDGE | {"base_url": judge.base_url}
        toys.write_params(place, content)
        rank(place)
    files = collected(place)
    assert len(files["train"]) + len(files["validation"]) == 3, "those with a task"
    assert all(label["labeler"].startswith("labeler_") for record in files["train"] for label in record["labels"])
    assert len(files["judge"]) >= 4
    assert metrics(place)["labelling"].keys() == {"judge"}
    assert "9 of the 12 answered prompts of pool train get no comparisons" in capsys.readouterr().out


def test_a_judge_alone_may_rank_where_people_rank_for_the_reward_model(place):
    content = read_yaml(place / "params.yaml")
    content["collect_comparisons"] |= {"labelers": None, "judge_labelers": FUNCTION}
    content["collect_answers"]["max_prompts"] = 0
    toys.write_params(place, content)
    records.write(place / "data/collect_prompts/comparisons.train.jsonl", toys.comparisons(9))
    rank(place)
    assert len(collected(place)["judge"]) >= 4
    toys.set_param(place, "collect_answers.max_prompts", 3)
    with pytest.raises(ValueError, match=r"nobody is named who ranks the answers to 3 prompts; .*max_prompts to 0"):
        rank(place)


def test_a_chat_model_ranks_both_sides_and_a_rerun_without_it_writes_the_same_bytes(place, capsys):
    with judging(by_length) as judge:
        toys.set_param(place, "collect_comparisons.labelers", asked.JUDGE | {"base_url": judge.base_url})
        rank(place)
    written = toys.file_bytes(place / "data") | toys.file_bytes(place / "metrics")
    for record in collected(place)["train"]:
        (label,) = record["labels"]
        assert label["labeler"] == "chat_model:judge-1"
        for one, other in records.pairs(label["ranks"]):
            assert len(record["responses"][one]) > len(record["responses"][other])
    counts = metrics(place)["labelling"]
    assert counts["train"]["requests"] + counts["judge"]["requests"] == len(judge.bodies)
    out = capsys.readouterr().out
    assert LINE in out
    assert f"0 are answered in {place / '.cache/labels'}" in out
    rank(place)
    assert toys.file_bytes(place / "data") | toys.file_bytes(place / "metrics") == written
    assert " 0 go to 127.0.0.1" in capsys.readouterr().out


def test_where_the_judge_refuses_everything_nothing_is_left_and_that_is_said(place):
    with judging(lambda _: "VERDICT: DECLINE") as judge:
        toys.set_param(place, "collect_comparisons.labelers", asked.JUDGE | {"base_url": judge.base_url})
        with pytest.raises(ValueError, match="no comparisons: "):
            rank(place)
    assert not (place / "data/collect_comparisons/r1").exists()


def test_an_error_of_the_address_leaves_what_was_there(place):
    folder = place / "data/collect_comparisons/r1"
    folder.mkdir(parents=True)
    records.write(folder / "comparisons.train.jsonl", toys.comparisons(2))
    with judging(lambda _: Raw(404, b"no such model")) as judge:
        toys.set_param(place, "collect_comparisons.labelers", asked.JUDGE | {"base_url": judge.base_url})
        with pytest.raises(ValueError, match=r"status 404 for model 'judge-1': no such model"):
            rank(place)
    assert len(records.read(folder / "comparisons.train.jsonl", Comparison)) == 2
