import json
import os
from pathlib import Path

import pytest

from rlhf.collection.columns import recognise
from rlhf.collection.dropped import Dropped
from rlhf.collection.readers import Row
from rlhf.collection.sources import rows
from rlhf.params.collect_prompts import WorldSource
from tests.collect_prompts_section import typed_source

HUMAN = [{"role": "user", "content": "Hi"}]
CHAT = [*HUMAN, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
TRANSCRIPT = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:"
EVERYTHING = {"use": ["demonstrations", "comparisons", "prompts"], "splits": ["reward_model", "sft"]}


def record(fields, **changes):
    return recognise(Row(fields, "a.jsonl: line 7"), typed_source(**{**EVERYTHING, **changes}), 3)


def assistant(text):
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("fields", "messages", "response"),
    [
        ({"prompt": "Hi"}, HUMAN, None),
        ({"prompt": "Hi", "response": "Yes"}, HUMAN, "Yes"),
        ({"prompt": "Hi", "completion": "Yes"}, HUMAN, "Yes"),
        ({"prompt": "Hi", "answer": "Yes"}, HUMAN, "Yes"),
        ({"question": "Hi", "answer": "Yes"}, HUMAN, "Yes"),
        ({"instruction": "Hi", "input": "", "output": "Yes"}, HUMAN, "Yes"),
        ({"instruction": "Sum", "input": "1 2", "output": "3"}, [{"role": "user", "content": "Sum\n\n1 2"}], "3"),
        ({"instruction": "Sum", "context": "1 2", "response": "3"}, [{"role": "user", "content": "Sum\n\n1 2"}], "3"),
        ({"input": "Hi", "output": "Yes"}, HUMAN, "Yes"),
        (
            {"instruction": TRANSCRIPT, "input": "1 2", "output": "3"},
            [*CHAT[:2], {"role": "user", "content": "Bye\n\n1 2"}],
            "3",
        ),
        ({"messages": [*CHAT, assistant("Yes")]}, CHAT, "Yes"),
        ({"messages": CHAT}, CHAT, None),
        ({"prompt": "A: Hi", "messages": [*CHAT, assistant("Yes")], "response": "B: Yes"}, CHAT, "Yes"),
        ({"messages": json.dumps([*CHAT, assistant("Yes")])}, CHAT, "Yes"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]}, HUMAN, "Yes"),
        ({"prompt": TRANSCRIPT, "response": "Yes"}, CHAT, "Yes"),
        ({"prompt": CHAT, "completion": "Yes"}, CHAT, "Yes"),
        ({"system": "Be kind", "prompt": "Hi"}, [{"role": "system", "content": "Be kind"}, *HUMAN], None),
        (
            {"prompt": "Human: is this a transcript?"},
            [{"role": "user", "content": "Human: is this a transcript?"}],
            None,
        ),
    ],
)
def test_usual_columns_become_prompts_and_demonstrations(fields, messages, response):
    found = record(fields)
    assert found["messages"] == messages
    assert found.get("response") == response


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"prompt": "Hi", "chosen": "good", "rejected": "bad"}, HUMAN),
        ({"prompt": TRANSCRIPT, "chosen": "good", "rejected": "bad"}, CHAT),
        ({"prompt": "A", "messages": CHAT, "chosen": "good", "rejected": "bad"}, CHAT),
        ({"chosen": f"{TRANSCRIPT} good", "rejected": f"{TRANSCRIPT} bad"}, CHAT),
        ({"chosen": [*CHAT, assistant("good")], "rejected": [*CHAT, assistant("bad")]}, CHAT),
        ({"prompt": CHAT, "chosen": [assistant("good")], "rejected": [assistant("bad")]}, CHAT),
        (
            {
                "prompt": "Hi",
                "messages": [*HUMAN, assistant("good")],
                "chosen": [*HUMAN, assistant("good")],
                "rejected": [*HUMAN, assistant("bad")],
            },
            HUMAN,
        ),
    ],
)
def test_usual_columns_become_pairs(fields, messages):
    found = record(fields)
    assert found["messages"] == messages
    assert found["responses"] == ["good", "bad"]
    assert found["labels"] == [{"labeler": "given", "ranks": [1, 2], "scores": None, "scale": None}]


def test_a_transcripts_pair_whose_histories_differ_is_dropped():
    with pytest.raises(Dropped, match="chosen_and_rejected_answer_different_prompts"):
        record({"chosen": f"{TRANSCRIPT} good", "rejected": "\n\nHuman: Other\n\nAssistant: bad"})


@pytest.mark.parametrize(
    ("given", "ranks", "scores"),
    [
        ({"scores": [0.5, 2, 0.5]}, [2, 1, 2], [0.5, 2, 0.5]),
        ({"ranking": [2, 1, 0]}, [3, 2, 1], None),
        ({"ranking": [2, 1, 0], "scores": [1, 1, 3]}, [2, 2, 1], [1, 1, 3]),
        ({"ranks": [3, 3, 5]}, [1, 1, 2], None),
        ({"scores": "[1, 2, 3]"}, [3, 2, 1], [1, 2, 3]),
        ({"scores": [1, 2, 3], "labels": ["refusal", "partial", "compliance"]}, [3, 2, 1], [1, 2, 3]),
    ],
)
def test_scores_and_rankings_become_dense_ranks(given, ranks, scores):
    found = record({"prompt": "Hi", "responses": ["a", "b", "c"], **given})
    assert found["labels"] == [{"labeler": "given", "ranks": ranks, "scores": scores, "scale": None}]


RANKED = {"prompt": "Hi", "responses": ["a", "b", "c"], "ranking": [1, 2, 0]}


def test_a_ranking_that_may_be_an_order_or_ranks_is_asked_about():
    with pytest.raises(ValueError, match="may be the responses' indices from best to worst, or each response's rank"):
        record(RANKED)
    columns = {"prompt": "prompt", "responses": "responses"}
    order = record(RANKED, columns=columns | {"ranking": "ranking"})
    ranks = record(RANKED, columns=columns | {"ranks": "ranking"})
    assert [found["labels"][0]["ranks"] for found in (order, ranks)] == [[3, 1, 2], [2, 3, 1]]


def test_a_ranking_of_more_than_ten_responses_is_read_by_number():
    responses = [f"r{number}" for number in range(12)]
    ranking = [*range(11, -1, -1)]
    found = record({"prompt": "Hi", "responses": responses, "ranking": ranking})
    assert found["labels"][0]["ranks"] == [*range(12, 0, -1)]
    with pytest.raises(ValueError, match="expected the indices 0..11"):
        record({"prompt": "Hi", "responses": responses, "ranking": [*ranking[:-1], "0"]})


def test_a_label_keeps_the_scale_of_its_source_and_its_own_goes_before():
    given = {"prompt": "Hi", "responses": ["a", "b"]}
    judged = {"labeler": "labeler_7", "ranks": [1, 2], "scores": [4, 2]}
    scale = {"low": 0, "high": 5}
    assert record({**given, "scores": [4, 2]}, scale=scale)["labels"][0]["scale"] == [0, 5]
    assert record({**given, "labels": [judged]}, scale=scale)["labels"][0]["scale"] == [0, 5]
    assert record({**given, "labels": [{**judged, "scale": [1, 7]}]}, scale=scale)["labels"][0]["scale"] == [1, 7]
    assert record({**given, "ranking": [0, 1]}, scale=scale)["labels"][0]["scale"] is None
    with pytest.raises(ValueError, match=r"line 7, column 'scores': expected scores within the scale 0\.\.5"):
        record({**given, "scores": [6, 2]}, scale=scale)


def test_labels_of_a_labelling_page_keep_their_labelers():
    labels = [{"labeler": "ann", "ranks": [1, 2], "scores": [0.9, 0.1]}, {"labeler": "bo", "ranks": [2, 1]}]
    found = record({"prompt": "Hi", "responses": ["a", "b"], "labels": labels})
    assert found["labels"] == [{**labels[0], "scale": None}, {**labels[1], "scores": None, "scale": None}]


def test_a_description_comes_from_the_row_or_from_params():
    fields = {"prompt": "Hi", "user": 17, "category": "chat", "language": "zh-CN", "labels": ["not", "ours"]}
    assert record(fields) == {
        "kind": "prompt",
        "id": "given-3",
        "messages": HUMAN,
        "category": "chat",
        "language": "zh",
        "user": "17",
        "source": "given",
    }
    found = record(fields, category="open_qa", language="en")
    assert (found["category"], found["language"]) == ("open_qa", "en")
    assert record({"prompt": "Hi"})["category"] == "unknown"


def test_a_mapping_reads_the_named_columns_and_no_others():
    columns = {"prompt": "ask", "response": "better", "user": "author"}
    fields = {"ask": "Hi", "better": "Yes", "author": "u1", "prompt": "not this", "chosen": "nor this"}
    found = record(fields, columns=columns)
    assert (found["messages"], found["response"], found["user"]) == (HUMAN, "Yes", "u1")
    with pytest.raises(ValueError, match=r"columns\.user: no column 'author' among: ask, better"):
        record({"ask": "Hi", "better": "Yes"}, columns=columns)


def test_only_the_embedded_world_says_a_prompts_task():
    """Its gold would score the answers: a column of that name in somebody's table is no task of the world."""
    assert "task" not in record({"prompt": "Hi", "task": {"kind": "story"}})
    world = {"name": "w", "kind": "world", "seed": 3, "documents": 1, "prompts": 1, "facts": "seen", "copy_probes": 0}
    made = WorldSource(**world, use=["documents", "prompts"], splits=["ppo"])
    assert recognise(Row({"prompt": "Hi", "task": {"kind": "story"}}, ""), made, 3)["task"] == {"kind": "story"}
    assert "task" not in recognise(Row({"prompt": "Hi"}, ""), made, 3)


def test_text_is_a_document_where_there_is_no_prompt_or_nothing_else_is_used():
    assert record({"text": "Once"}) == {"kind": "document", "text": "Once", "source": "given"}
    assert "messages" in record({"text": "Once", "prompt": "Hi"})
    assert "text" in record({"text": "Once", "prompt": "Hi"}, use=["documents"], splits=[])


@pytest.mark.parametrize("turns", [[*HUMAN, *HUMAN], [{"role": "system", "content": "Be kind"}]])
def test_turns_that_do_not_alternate_are_dropped(turns):
    with pytest.raises(Dropped, match="turns_do_not_alternate"):
        record({"messages": turns})


TWO = {"prompt": "Hi", "responses": ["a", "b"]}
LABEL = {"labeler": "l", "ranks": [1, 2]}
FINITE = "expected finite numbers, got {}; drop the record or mend it"
ROLES = "user, human, prompter, assistant, gpt, chatgpt, bot, chatbot, model, system, developer"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (TWO | {"scores": [1, float("nan")]}, f", column 'scores': {FINITE.format('nan')}"),
        (TWO | {"scores": [1, "2"]}, f", column 'scores': {FINITE.format(repr('2'))}"),
        (TWO | {"scores": [1, True]}, f", column 'scores': {FINITE.format('True')}"),
        (TWO | {"scores": [1]}, ", column 'scores': expected 2 numbers, one a response, got [1]"),
        (TWO | {"ranks": 1}, ", column 'ranks': expected 2 numbers, one a response, got 1"),
        (TWO | {"ranking": [1, 2]}, ", column 'ranking': expected the indices 0..1 from best to worst, got [1, 2]"),
        (TWO | {"responses": ["a", None], "ranking": [0, 1]},
         ", column 'responses': expected a list of texts, got ['a', None]"),
        (TWO, ", column 'responses': responses without scores, ranking, ranks or labels; set the source's columns"),
        (TWO | {"labels": [{"labeler": "l"}]},
         ", column 'labels': expected objects with labeler, ranks and scores, got {'labeler': 'l'}"),
        (TWO | {"labels": [LABEL | {"labeler": 7}]},
         ", column 'labels': expected objects with labeler, ranks and scores, got {'labeler': 7, 'ranks': [1, 2]}"),
        (TWO | {"labels": [LABEL | {"ranks": [1]}]},
         ", column 'labels', ranks: expected 2 numbers, one a response, got [1]"),
        (TWO | {"labels": [LABEL | {"scores": [1]}]},
         ", column 'labels', scores: expected 2 numbers, one a response, got [1]"),
        (TWO | {"labels": [LABEL | {"scores": [1, 2], "scale": [1]}]},
         ", column 'labels', scale: expected 2 numbers, one a response, got [1]"),
        (TWO | {"labels": [LABEL | {"scores": [1, 8], "scale": [1, 7]}]},
         ", column 'labels': expected scores within the scale 1..7, got [1, 8]; mend the source's scale or the record"),
        ({"prompt": 3}, ", column 'prompt': expected text, got int; set the source's columns"),
        ({"prompt": "Hi", "chosen": "good"}, ": source 'given': a comparison without a rejected answer"),
        ({"prompt": "Hi", "rejected": "bad"}, ": source 'given': a comparison without a chosen answer"),
        ({"messages": [*HUMAN, {"role": "teacher", "content": "x"}]},
         f", column 'messages': turn 2: role 'teacher' is none of {ROLES}"),
        ({"messages": [{"role": "user", "content": ["x"]}]},
         ", column 'messages': turn 1: expected text as content, got list"),
        ({"messages": ["x"]}, ", column 'messages': turn 1: expected an object, got str"),
        ({"messages": '[{"role": }]'}, ", column 'messages', character 11: not valid JSON: Expecting value"),
        ({"ask": "Hi", "say": "Yes"}, ": source 'given': no usual columns among: ask, say; set columns, for example "
         "{prompt: its name here, response: its name here}"),
        ({}, ": source 'given': no usual columns among: none; set columns, for example "
         "{prompt: its name here, response: its name here}"),
    ],
)  # fmt: skip
def test_broken_rows_name_their_place_and_column_and_what_was_expected(fields, problem):
    with pytest.raises(ValueError) as error:
        record(fields)
    assert str(error.value) == f"a.jsonl: line 7{problem}"


@pytest.mark.parametrize("given", [7, "of whom", {"labeler": "l"}])
def test_labels_that_are_no_list_are_refused(given):
    columns = {"prompt": "prompt", "responses": "responses", "labels": "votes"}
    with pytest.raises(ValueError, match="column 'votes': expected a list of objects, one a labeler, got"):
        record(TWO | {"votes": given}, columns=columns)


def test_half_an_instruction_without_the_other_is_no_prompt():
    with pytest.raises(Dropped, match="no_prompt"):
        record({"ask": [], "more": "1 2"}, columns={"prompt": "ask", "input": "more"})


def test_a_name_that_is_no_text_is_taken_as_one_unless_it_is_too_deep():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert record({"prompt": "Hi", "user": 7})["user"] == "7"
    with pytest.raises(ValueError, match="column 'user': expected a name, got"):
        record({"prompt": "Hi", "user": deep})


def test_a_column_that_the_mapping_names_must_be_there():
    with pytest.raises(ValueError) as error:
        record({"ask": "Hi", "say": "Yes"}, columns={"prompt": "ask", "response": "answer"})
    expected = "columns.response: no column 'answer' among: ask, say"
    assert str(error.value) == f"a.jsonl: line 7: source 'given': {expected}"


@pytest.mark.skipif("SHARED_DATA" not in os.environ, reason="SHARED_DATA names no folder of real data sets")
def test_real_files_are_recognised():
    kinds = {
        "comparisons": {"comparison"},
        "ranked": {"comparison"},
        "demos": {"demonstration"},
        "prompts": {"prompt", "demonstration"},
        "text": {"document"},
    }
    paths = sorted(Path(os.environ["SHARED_DATA"]).glob("*.gz"))
    assert paths
    for path in paths:
        source = typed_source(paths=[str(path)], **EVERYTHING)
        found, reasons = [], set()
        for index, row in enumerate(rows(source, path.parent, "<|endoftext|>")):
            try:
                found.append(recognise(row, source, index))
            except Dropped as reason:
                reasons.add(str(reason))
        assert reasons <= {"turns_do_not_alternate"}, path
        assert found, path
        assert {record["kind"] for record in found} <= kinds[path.name.split("_")[0]], path
