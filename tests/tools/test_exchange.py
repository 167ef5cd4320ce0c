"""Records go out in other tools' forms and come back the same, or it is said what was left out."""

import json

import pytest

from rlhf.collection.formats.export import FORMS
from rlhf.collection.formats.known import Reading
from rlhf.collection.sources import rows
from tests.collect_prompts_section import typed_source
from tools.exchange.__main__ import main

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say red."},
         {"role": "assistant", "content": "Red."}, {"role": "user", "content": "Louder, 红!"}]  # fmt: skip
COMMON = {"id": "a-0", "category": "x", "language": "en", "user": None, "source": "a"}
LABELS = [{"labeler": "u1", "ranks": [2, 1, 3], "scores": None, "scale": None},
          {"labeler": "u2", "ranks": [1, 2, 3], "scores": None, "scale": None}]  # fmt: skip
THREE = {**COMMON, "kind": "comparison", "messages": TURNS, "responses": ["a", "b", "c"], "labels": LABELS}
TWO = {**THREE, "messages": TURNS[1:2], "responses": ["a", "b"],
       "labels": [{"labeler": "u1", "ranks": [2, 1], "scores": None, "scale": None}]}  # fmt: skip
DEMONSTRATION = {**COMMON, "kind": "demonstration", "messages": TURNS, "response": "RED!"}


def there(tmp_path, form: str, *records: dict) -> int:
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return main([str(tmp_path / "ours.jsonl"), "--as", form, "--out", str(tmp_path / "theirs.json")])


def back(tmp_path) -> list[dict]:
    use = {"use": ["demonstrations", "comparisons", "prompts"], "splits": ["sft", "reward_model", "ppo"]}
    source = typed_source(name="a", paths=["theirs.json"], **use)
    reading = Reading(rows(source, tmp_path, ""), source)
    return [reading.record(row, index) for index, row in enumerate(reading.rows)]


@pytest.mark.parametrize("form", ["argilla", "label_studio"])
@pytest.mark.parametrize("record", [TWO, THREE])
def test_rankings_of_several_labelers_come_back_whole(tmp_path, form, record):
    assert there(tmp_path, form, record) == 0
    (found,) = back(tmp_path)
    assert [found[name] for name in ("kind", "messages", "responses", "labels")] == [
        record[name] for name in ("kind", "messages", "responses", "labels")
    ]


@pytest.mark.parametrize("form", ["trl", "openai"])
def test_pairs_and_demonstrations_come_back(tmp_path, form):
    assert there(tmp_path, form, TWO) == 0
    (found,) = back(tmp_path)
    assert (found["messages"], found["responses"], found["labels"][0]["ranks"]) == (TWO["messages"], ["b", "a"], [1, 2])
    assert there(tmp_path, form, DEMONSTRATION) == 0
    (found,) = back(tmp_path)
    assert [found[name] for name in ("kind", "messages", "response")] == ["demonstration", TURNS, "RED!"]


@pytest.mark.parametrize("form", ["trl", "openai"])
def test_three_answers_are_a_pair_a_row_of_each_labeler(tmp_path, form):
    assert there(tmp_path, form, THREE) == 0
    found = [tuple(record["responses"]) for record in back(tmp_path)]
    assert sorted(found) == sorted([("b", "a"), ("a", "c"), ("b", "c"), ("a", "b"), ("a", "c"), ("b", "c")])


def test_what_a_form_cannot_say_is_counted_and_nothing_at_all_is_an_error(tmp_path, capsys):
    tie = {**TWO, "labels": [{**TWO["labels"][0], "ranks": [1, 1]}]}
    assert there(tmp_path, "label_studio", TWO, tie, DEMONSTRATION) == 0
    said = capsys.readouterr().out
    assert "3 records, 1 rows, 1 left out: ties_have_no_form, 1 left out: only_comparisons_have_a_form" in said
    (tmp_path / "theirs.json").unlink()
    assert there(tmp_path, "argilla", DEMONSTRATION) == 1
    assert not (tmp_path / "theirs.json").exists()
    assert "nothing was written" in capsys.readouterr().err


def test_a_file_that_holds_something_else_is_named_by_line(tmp_path):
    with pytest.raises(ValueError, match=r"ours\.jsonl: line 2: expected a prompt, demonstration or comparison"):
        there(tmp_path, "trl", TWO, {"text": "x"})


def test_every_form_is_tried_here():
    assert {*FORMS} == {"trl", "openai", "argilla", "label_studio"}
