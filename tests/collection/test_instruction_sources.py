"""Verifiable instructions as a source: own prompts, people's with an instruction each."""

import gzip
import json

import pytest

from rlhf.collection import columns, sources
from rlhf.instructions import source as instructions
from rlhf.params.base import ParamsError, parse
from rlhf.params.collect_prompts import InstructionsSource, inputs


def made(**changes):
    content = {
        "name": "tasks", "kind": "instructions", "seed": 4, "prompts": 30, "half": "training", "paths": None,
        "use": ["prompts"], "splits": ["ppo"],
    }  # fmt: skip
    return parse(InstructionsSource, content | changes, "collect_prompts.sources.0")


def records_of(source, root):
    return [columns.recognise(row, source, index) for index, row in enumerate(sources.rows(source, root, ""), start=1)]


def test_its_rows_are_demonstrations_with_a_task(tmp_path):
    found = records_of(made(use=["prompts", "demonstrations"], splits=["sft", "ppo"]), tmp_path)
    wanted = list(instructions.records(4, 30, "training"))
    assert [record["messages"] for record in found] == [record["messages"] for record in wanted]
    assert [record["response"] for record in found] == [record["response"] for record in wanted]
    assert [record["task"] for record in found] == [record["task"] for record in wanted]
    assert all(record["category"] == record["task"]["kind"] for record in found)


def test_the_held_out_half_has_prompts_alone(tmp_path):
    assert {record["kind"] for record in records_of(made(half="held_out", splits=["test"]), tmp_path)} == {"prompt"}


def test_peoples_prompts_get_an_instruction_each(tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": "How do I repot a cactus?"}]},
        {"messages": [{"role": role, "content": "So?"} for role in ("user", "assistant", "user")]},
        {"prompt": "Plan a birthday", "response": "Bake a cake."},
    ]  # fmt: skip
    (tmp_path / "own.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    source = made(paths=["own.jsonl.gz"])
    found = records_of(source, tmp_path)
    texts = [record["messages"][-1]["content"] for record in found]
    assert len(texts) == 2  # a longer dialogue gets none
    assert "How do I repot a cactus?" in texts[0]
    assert len(texts[0]) > len("How do I repot a cactus?") + 10
    assert found[0]["task"]["stems"] == ["cactus", "repot"]
    assert len(records_of(made(paths=["own.jsonl.gz"], prompts=1), tmp_path)) == 1


def test_its_files_are_inputs_of_the_stage(tmp_path):
    class Section:
        sources = [made(paths=["own.jsonl"])]

    (tmp_path / "own.jsonl").write_text("{}")
    assert inputs(Section, tmp_path) == [tmp_path / "own.jsonl"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use": ["documents"], "splits": []}, "instructions give prompts"),
        ({"use": ["demonstrations"], "splits": ["sft"], "half": "held_out"}, "where half is training"),
        ({"use": ["demonstrations"], "splits": ["sft"], "paths": ["a.jsonl"]}, "no paths are given"),
        ({"half": "test"}, "'training' or 'held_out'"),
        ({"prompts": 0}, "greater than or equal to 1"),
        ({"facts": "seen"}, "unknown key"),
    ],
)
def test_what_it_cannot_be_is_named(change, said):
    with pytest.raises(ParamsError, match=said):
        made(**change)


def test_the_card_says_which_code_made_them():
    found = sources.fingerprint([made()])
    assert set(found) == {"instructions"}
    assert len(found["instructions"]) == 64
