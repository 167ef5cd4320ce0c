"""What is known of the data: counted where they are there, as long as params allow where they are not."""

import json

import pytest

from rlhf.records import records
from tests import toys
from tests.tools.planning.shapes import params
from tools.planning import rows
from tools.planning.rows import TURN, Rows


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / rows.FOLDER
    demonstrations = toys.demonstrations(5)
    records.write(folder / "demonstrations.train.jsonl", demonstrations)
    records.write(folder / "demonstrations.validation.jsonl", demonstrations[:2])
    for name in rows.PROMPTS:
        prompts = [{key: value for key, value in one.items() if key != "response"} for one in demonstrations[:3]]
        records.write(folder / f"prompts.{name}.jsonl", [{**one, "kind": "prompt"} for one in prompts])
    records.write(folder / "comparisons.train.jsonl", toys.comparisons(4))
    texts = [{"kind": "document", "text": "One two three.", "source": "s"}] * 7
    records.write(folder / "documents.train.jsonl", texts)
    return tmp_path


def test_records_are_counted_with_their_tokens(data):
    found = rows.known(params(), data)
    first = toys.demonstrations(5)[0]
    prompt = sum(rows.pieces(message["content"]) + TURN for message in first["messages"]) + TURN
    assert found.demonstrations.number == 5
    assert found.demonstrations.prompts[0] == prompt
    assert found.demonstrations.answers[0] == rows.pieces(first["response"]) + 1
    assert (found.validation.number, found.prompts["ppo"].number, found.prompts["test"].answers) == (2, 3, ())
    comparison = toys.comparisons(4)[0]
    total = sum(rows.pieces(response) + 1 for response in comparison["responses"])
    assert (found.ranked["train"].number, found.ranked["train"].answers[0]) == (4, total)
    assert found.ranked["judge"].number == 0
    assert (found.documents, found.held_out, found.bounds) == (7 * 5, 0, False)


def test_pieces_are_words_marks_and_chinese_characters():
    assert rows.pieces("It's 17 北京!") == len(["It", "'", "s", "17", "北", "京", "!"])


def test_an_adopted_models_own_vocabulary_cuts_words(data):
    ours, theirs = rows.known(params(), data), rows.known(params("pretrained"), data)
    assert theirs.demonstrations.mean_prompt() > ours.demonstrations.mean_prompt()
    assert (ours.documents, theirs.documents) == (35, 42)
    assert "1.15" in theirs.counted


def test_the_models_tokenizer_counts_where_it_is_there(data):
    made = toys.tokenizer()
    made.save_pretrained(data / "data/pretrain")
    found = rows.known(params(), data)
    response = toys.demonstrations(5)[0]["response"]
    assert found.demonstrations.answers[0] == len(made(f" {response}", add_special_tokens=False)["input_ids"]) + 1
    assert "tokenizer" in found.counted


def test_of_many_records_some_are_counted_and_all_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "SAMPLE", 4)
    file = tmp_path / rows.FOLDER / "documents.train.jsonl"
    records.write(file, [{"kind": "document", "text": "a b", "source": "s"}] * 10)
    records.write(file.with_name("demonstrations.train.jsonl"), toys.demonstrations(1))
    assert rows.known(params(), tmp_path).documents == 30


def test_without_data_sources_and_shares_say_how_many_and_params_how_long(tmp_path):
    found = rows.known(params(), tmp_path)
    tiny = params()
    shares = tiny.collect_prompts.shares
    whole = shares.sft + shares.reward_model + shares.judge + shares.ppo
    assert found.demonstrations == Rows(round(900 * shares.sft / whole), (120,), (32,))
    assert found.prompts["ppo"].number == round(900 * shares.ppo / whole)
    assert found.prompts["test"].number == round(200 * shares.test / (shares.test + shares.validation))
    assert (found.bounds, found.probes) == (True, 40)


def test_sources_of_which_no_number_is_known_are_named():
    from rlhf.params.base import read_yaml
    from tools import check

    content = json.loads(json.dumps(read_yaml(toys.REPO / "presets/tiny.yaml")))
    given = {"kind": "file", "paths": ["a.jsonl"], "format": "auto", "use": ["prompts"], "splits": ["ppo"]}
    content["collect_prompts"]["sources"] += [{"name": "some", **given}, {"name": "few", **given, "limit": 70}]
    ranked = given | {"use": ["comparisons"], "splits": ["reward_model", "judge"], "limit": 40}
    content["collect_prompts"]["sources"].append({"name": "ranked", **ranked})
    shares = {"sft": 0.3, "reward_model": 0.3, "judge": 0.1, "ppo": 0.2, "validation": 0.05, "test": 0.05}
    content["collect_prompts"]["shares"] = shares
    found = check.whole(content)
    assert rows.unknown_sources(found) == ["some"]
    ranked = rows.allowed(found).ranked
    assert {name: one.number for name, one in ranked.items()} == {"train": 30, "validation": 0, "judge": 10}
    assert (ranked["train"].each, ranked["train"].answers) == (2, (64,))
    content["collect_prompts"]["sources"] = content["collect_prompts"]["sources"][:-2]
    without = rows.allowed(check.whole(content)).prompts["ppo"].number
    assert rows.allowed(found).prompts["ppo"].number == without + 70


def test_draws_are_of_the_sample_and_the_same_each_time():
    some = Rows(9, (1, 2, 3), (10, 20, 30))
    assert some.drawn(50) == some.drawn(50) != some.drawn(50, seed=1)
    assert {*some.drawn(50)} == {(1, 10), (2, 20), (3, 30)}
    assert Rows(0, ()).drawn(3) == []


def test_given_numbers_take_the_place_of_known_ones(tmp_path, data):
    bounds, counted = rows.known(params(), tmp_path / "none"), rows.known(params(), data)
    for found in (bounds, counted):
        changed_ = rows.with_counts(found, params(), {"sft": 11, "ppo": 12})
        assert (changed_.demonstrations.number, changed_.prompts["ppo"].number) == (11, 12)
        assert changed_.prompts["test"] == found.prompts["test"]
    ranked = rows.with_counts(bounds, params(), {"ranked": 13}).ranked["train"]
    assert ranked == Rows(13, (120,), (round(4.5 * 32),), 4.5)
    assert rows.with_counts(counted, params(), {"ranked": 13}).ranked["train"].each == 3.0
