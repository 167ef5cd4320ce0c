"""The stage `collect_answers`: K answers of a policy to each prompt."""

import json
import random
import shutil
from pathlib import Path

import pytest

from rlhf.models import loading
from rlhf.records import records
from rlhf.records.types import AnsweredPrompt
from rlhf.runs import checkpoints
from rlhf.training.context import StageContext
from rlhf.world.asking import tasks
from stages import collect_answers
from tests import notebook, toys

FOLDER = "data/collect_answers/r1"


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
        toys.set_param(root, f"collect_answers.{name}", value)
    return root


def answered(root, name: str) -> list[dict]:
    return records.read(root / FOLDER / f"answers.{name}.jsonl", AnsweredPrompt)


def metrics(root) -> dict:
    return json.loads((root / "metrics/collect_answers/r1.json").read_text())["collect_answers"]["r1"]


@pytest.fixture(scope="module")
def done(tmp_path_factory, tokenizer):
    """A root on which the stage has run."""
    root = prepared(toys.root(tmp_path_factory.mktemp("collect_answers") / "repository"), tokenizer)
    collect_answers.main(root, "r1")
    return root


def test_what_it_reads_is_an_input_of_its_run(root, tokenizer, recorder, files_read):
    toys.set_param(prepared(root, tokenizer), "tracking.enabled", True)
    collect_answers.main(root, "r1")
    notebook.check_inputs(root, "collect_answers", recorder, files_read)


def test_each_prompt_has_several_different_answers(done):
    for name, count in {"train": 12, "judge": 5}.items():
        found = answered(done, name)
        assert len(found) == count
        for record in found:
            assert 2 <= len(record["responses"]) == len({*record["responses"]}) <= 4
            assert record.keys() == {*world_prompts(1, 0)[0], "responses"}


def test_metrics_count_what_was_written_and_what_was_left_out(done):
    sizes = [len(record["responses"]) for name in ("train", "judge") for record in answered(done, name)]
    assert metrics(done) == {
        "prompts": {"train": 12, "judge": 5},
        "answers": sum(sizes),
        "mean_answers_a_prompt": round(sum(sizes) / len(sizes), 6),
        "prompts_too_long": 0,
        "prompts_without_task": 2,
        "prompts_with_equal_answers": 0,
    }


def test_prompts_without_a_task_are_said_or_answered_too(root, tokenizer, capsys):
    collect_answers.main(prepared(root, tokenizer), "r1")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "get no answers" in line]
    assert "2 of the 18 prompts of prompts.reward_model get no answers: collect_answers.prompts_with is task" in line
    for name, value in {"prompts_with": "any", "max_prompts": 18}.items():
        toys.set_param(root, f"collect_answers.{name}", value)
    collect_answers.main(root, "r1")
    assert len(answered(root, "train")) == 18
    assert "get no answers" not in capsys.readouterr().out
    assert metrics(root)["prompts_without_task"] == 0


def test_a_prompt_too_long_or_with_equal_answers_alone_is_counted(root, tokenizer, monkeypatch):
    prepared(root, tokenizer)
    source = root / "data/collect_prompts/prompts.reward_model.jsonl"
    long = toys.prompt(99, "red " * 400) | {"task": world_prompts(1, 0)[0]["task"]}
    records.write(source, [long, *world_prompts(3, first=0)])
    toys.set_param(root, "collect_answers.max_prompt_tokens", 200)
    respond = collect_answers.rollouts.respond

    def same(model, tokenizer, dialogues, row_ids, sampling):
        found = respond(model, tokenizer, dialogues, row_ids, sampling)
        rows = zip(row_ids, found, strict=True)
        return [one._replace(text="same") if row.startswith("toy-1/") else one for row, one in rows]

    monkeypatch.setattr(collect_answers.rollouts, "respond", same)
    collect_answers.main(root, "r1")
    assert [record["id"] for record in answered(root, "train")] == ["toy-0", "toy-2"]
    assert metrics(root)["prompts_too_long"] == 1
    assert metrics(root)["prompts_with_equal_answers"] == 1


def test_where_no_answers_are_wanted_no_policy_is_read_and_the_files_are_empty(root, monkeypatch):
    monkeypatch.setattr(loading, "load_policy", lambda *_: pytest.fail("it was read"))
    for name in ("max_prompts", "max_judge_prompts"):
        toys.set_param(root, f"collect_answers.{name}", 0)
    (root / "data/sft").mkdir()
    collect_answers.main(root, "r1")
    assert toys.file_bytes(root / FOLDER) == {"answers.judge.jsonl": b"", "answers.train.jsonl": b""}
    assert metrics(root)["prompts"] == {"train": 0, "judge": 0}


def test_a_prompts_answers_take_the_temperatures_in_turn(done, tmp_path, monkeypatch):
    root, seen = tmp_path / "repository", {}
    shutil.copytree(done, root)
    toys.set_param(root, "collect_answers.temperatures", [0.5, 2.0])
    respond = collect_answers.rollouts.respond

    def noted(model, tokenizer, dialogues, row_ids, sampling):
        seen.update(dict.fromkeys(row_ids, sampling.temperature))
        return respond(model, tokenizer, dialogues, row_ids, sampling)

    monkeypatch.setattr(collect_answers.rollouts, "respond", noted)
    collect_answers.main(root, "r1")
    assert set(seen.values()) == {0.5, 2.0}
    for row_id, temperature in seen.items():
        assert temperature == [0.5, 2.0][int(row_id.rpartition("/")[2]) % 2]


def test_k_is_drawn_from_its_range():
    params = collect_answers.CollectAnswersInputs.model_fields["collect_answers"].annotation
    chosen = toys.section(params, "collect_answers", min_responses=2, max_responses=9)

    class Run:
        def progress(self, step, total, metrics):
            pass

    tokenizer = toys.tokenizer()
    policy = collect_answers.Policy(toys.policy(tokenizer, spread=0.05), tokenizer)  # nearly all answers differ
    context = StageContext(Path(), "collect_answers", "r1", toys.runtime(), 1, checkpoints.NONE, Run())
    sizes = [len(record["responses"]) for record in collect_answers.sample(policy, toys.prompts(60), chosen, context)]
    assert set(sizes) == set(range(2, 10))


def test_prompts_of_the_demonstrations_can_be_answered_again_without_what_was_written_to_them(done, tmp_path):
    root = tmp_path / "repository"
    shutil.copytree(done, root)
    toys.set_param(root, "collect_answers.prompts", "sft")
    used = [prompt | {"kind": "demonstration", "response": "red fox."} for prompt in world_prompts(9, first=500)]
    records.write(root / "data/collect_prompts/demonstrations.train.jsonl", used)
    collect_answers.main(root, "r1")
    found = answered(root, "train")
    assert {record["id"] for record in found} <= {prompt["id"] for prompt in used}
    assert not any("response" in record for record in found)
    assert answered(root, "judge") == answered(done, "judge")


def test_a_round_answers_with_its_own_policy_and_its_own_draws(done, tmp_path, tokenizer):
    root = tmp_path / "repository"
    shutil.copytree(done, root)
    round_of = {"policy": "sft", "earlier": "collect_prompts"}
    toys.set_param(root, "rounds", {"r1": round_of, "r2": round_of | {"policy": "ppo/r1"}, "again": round_of})
    toys.save(root / "data/ppo/r1", toys.policy(tokenizer, seed=8), tokenizer)
    for name in ("r2", "again"):
        collect_answers.main(root, name)
        file = root / f"data/collect_answers/{name}/answers.train.jsonl"
        assert file.read_bytes() != (root / FOLDER / "answers.train.jsonl").read_bytes()


def test_the_draws_are_those_of_before_answers_had_a_stage_of_their_own(done, monkeypatch):
    """So the comparisons that were made then keep their bytes."""
    seen = []
    derive = collect_answers.seeds.derive

    def noted(seed, *names):
        seen.append(names)
        return derive(seed, *names)

    monkeypatch.setattr(collect_answers.seeds, "derive", noted)
    collect_answers.main(done, "r1")
    assert ("collect_comparisons", "r1") in seen
