"""examples/gold_reward.py: gold as a reward function of one's own, by which the laboratory finds PPO's own limit."""

import json
from pathlib import Path

import pytest

from examples import gold_reward
from rlhf.rewards.functions import FunctionScorer
from rlhf.world import source as world
from rlhf.world.grading import gold


@pytest.fixture
def records(tmp_path, monkeypatch):
    found = list(world.records(3, 0, 40, "seen"))
    folder = tmp_path / gold_reward.PROMPTS
    folder.mkdir(parents=True)
    for name, part in (("prompts.ppo", found[:20]), ("demonstrations.train", found[20:])):
        rows = [json.dumps({"messages": record["messages"], "task": record["task"]}) for record in part]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    gold_reward._tasks.cache_clear()
    yield found
    gold_reward._tasks.cache_clear()


def test_answers_are_paid_what_gold_gives_them(records):
    messages = [record["messages"] for record in records] * 2
    answers = [record["response"] for record in records] + ["No."] * len(records)
    tasks = [record["task"] for record in records] * 2
    found = gold_reward.score(messages, answers)
    assert found == [gold.score(task, answer).score for task, answer in zip(tasks, answers, strict=True)]
    assert sum(found[: len(records)]) > sum(found[len(records) :])


def test_a_prompt_that_gold_does_not_know_is_named(records):
    with pytest.raises(ValueError, match="no prompt with a task .* reads 'What is love\\?'"):
        gold_reward.score([[{"role": "user", "content": "What is love?"}]], ["A song."])


def test_params_can_name_it():
    assert FunctionScorer("examples.gold_reward:score", Path(__file__).parents[2]).file.name == "gold_reward.py"
