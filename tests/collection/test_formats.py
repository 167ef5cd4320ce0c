"""What becomes of rows in the schemas of public data sets, trainers and labelling tools: each right value stands here.

Good answers begin with [+], bad ones with [-], so that a side that was taken for the other is seen.
"""

import json
import re

import pytest

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats import known
from rlhf.collection.formats.cells import in_cell
from rlhf.collection.formats.known import Reading
from rlhf.collection.readers import Row
from tests import toys
from tests.collect_prompts_section import typed_source

EVERYTHING = {"use": ["demonstrations", "comparisons", "prompts"], "splits": ["reward_model", "sft", "ppo"]}
FIRST = "First."
P, GOOD, BAD = "How do I keep basil alive?", "[+] Light and water.", "[-] Plants are hard."
TRANSCRIPT = f"\n\nHuman: {P}\n\nAssistant: "


def user(text: str = P) -> dict:
    return {"role": "user", "content": text}


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict:
    return {"role": "system", "content": text}


def read(*rows: dict, **changes) -> tuple[list[dict], Reading]:
    """Return what a source's rows are read as, and how; dropped rows are left out."""
    numbered = (Row(fields, f"a.jsonl: line {number}") for number, fields in enumerate(rows, start=1))
    reading, found = Reading(numbered, typed_source(**{**EVERYTHING, **changes})), []
    for index, row in enumerate(reading.rows):
        try:
            found.append(reading.record(row, index))
        except Dropped:
            continue
    return found, reading


PREFERENCES = {  # format: a row in which the second answer is the good one, and the row of a tie where there are such
    "UltraFeedback": ({"source": "x", "instruction": P, "completions": [
        {"response": BAD, "overall_score": 2.0}, {"response": GOOD, "overall_score": 8.0}]}, None),
    "Nectar": ({"prompt": TRANSCRIPT, "answers": [{"answer": BAD, "rank": 2.0}, {"answer": GOOD, "rank": 1.0}]}, None),
    "HelpSteer2 preference": (
        {"prompt": P, "response_1": BAD, "response_2": GOOD, "preference_strength": 2}, {"preference_strength": 0}),
    "HelpSteer3 preference": (
        {"context": [user()], "response1": BAD, "response2": GOOD, "overall_preference": 1, "language": "english"},
        {"overall_preference": 0}),
    "PKU-SafeRLHF": ({"prompt": P, "response_0": BAD, "response_1": GOOD, "better_response_id": 1}, None),
    "SHP": ({"history": P, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1}, None),
    "WebGPT comparisons": (
        {"question": {"full_text": P}, "answer_0": BAD, "answer_1": GOOD, "score_0": -0.5, "score_1": 0.5},
        {"score_0": 0.0, "score_1": 0.0}),
    "TL;DR, preprocessed": ({"query": P, "response0": BAD, "response1": GOOD, "choice": 1}, None),
    "Chatbot Arena, MT-bench": (
        {"conversation_a": [user(), said(BAD)], "conversation_b": [user(), said(GOOD)], "winner": "model_b"},
        {"winner": "tie (bothbad)"}),
    "WSDM cup": ({"prompt": P, "response_a": BAD, "response_b": GOOD, "winner": "model_b"}, None),
    "Kaggle LMSYS": (
        {"prompt": json.dumps([P]), "response_a": json.dumps([BAD]), "response_b": json.dumps([GOOD]),
         "winner_model_a": "0", "winner_model_b": "1", "winner_tie": "0"},
        {"winner_model_b": "0", "winner_tie": "1"}),
    "distilabel generations": ({"instruction": P, "generations": [BAD, GOOD], "ratings": ["1", 5.0]}, None),
    "AlpacaFarm": ({"instruction": P, "input": "", "output_1": BAD, "output_2": GOOD, "preference": 2}, None),
    "H4 stack-exchange": (
        {"question": P, "answers": [{"text": BAD, "pm_score": 0}, {"text": GOOD, "pm_score": 5}]}, None),
    "NeMo-RL": ({"context": [user()], "completions": [
        {"rank": 1, "completion": [said(BAD)]}, {"rank": 0, "completion": [said(GOOD)]}]}, None),
    "Argilla ranking": ({"prompt": P, "response1": BAD, "response2": GOOD, "preference": [
        {"user_id": "u", "value": {"rank": [2, 1], "value": ["response1", "response2"]}}]}, None),
    "Label Studio": ({"data": {"prompt": P, "items": [{"id": "a", "body": BAD}, {"id": "b", "body": GOOD}]},
        "annotations": [{"completed_by": 1, "was_cancelled": False, "result": [
            {"value": {"ranker": {"rank": ["b", "a"]}}}]}]}, None),
    "Label Studio, JSON_MIN": ({"prompt": P, "items": [{"id": "a", "body": BAD}, {"id": "b", "body": GOOD}],
        "rank": {"rank": ["b", "a"]}, "annotator": 1}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PREFERENCES))
def test_what_decides_is_read_as_the_format_codes_it(name):
    row, tie = PREFERENCES[name]
    (found,), reading = read(row)
    assert reading.form is not None
    assert reading.form.name == name
    assert found["messages"] == [user()]
    assert found["responses"] == [BAD, GOOD]
    (label,) = found["labels"]
    assert label["ranks"] == [2, 1]
    if tie:
        ((equal,), _) = read({**row, **tie})
        assert equal["labels"][0]["ranks"] == [1, 1]


BETTER_FIRST = {  # rows in which the answer that the format names first, or chosen, is the good one
    "UltraFeedback, cleaned by Argilla": {"instruction": P, "chosen_response": GOOD, "rejected_response": BAD},
    "distilabel Intel orca pairs": {"input": P, "chosen": GOOD, "rejected": BAD, "status": "unchanged"},
    "ms-swift rejected_response": {"messages": [user(), said(GOOD)], "rejected_response": BAD},
    "ms-swift rejected_messages": {"messages": [user(), said(GOOD)], "rejected_messages": [user(), said(BAD)]},
    "ms-swift query": {"query": P, "response": GOOD, "rejected_response": BAD},
    "OpenAI preference": {"input": {"messages": [user()]}, "preferred_output": [said(GOOD)],
                          "non_preferred_output": [said(BAD)]},
    "stack-exchange-paired": {"question": P, "response_j": GOOD, "response_k": BAD},
    "CValues": {"prompt": P, "pos_resp": GOOD, "neg_resp": BAD},
    "DPO-En-Zh": {"question": P, "response_chosen": GOOD, "response_rejected": BAD},
    "hh_rlhf_cn": {"context": [{"role": "human", "text": P}], "chosen": {"role": "assistant", "text": GOOD},
                   "rejected": {"role": "assistant", "text": BAD}},
    "RewardBench 2": {"prompt": P, "chosen": [GOOD], "rejected": [BAD]},
}  # fmt: skip


@pytest.mark.parametrize("name", list(BETTER_FIRST))
def test_answers_whose_names_say_which_is_better(name):
    (found,), reading = read(BETTER_FIRST[name])
    assert reading.form is not None
    assert (reading.form.name, found["messages"]) == (name, [user()])
    assert (found["responses"], found["labels"][0]["ranks"]) == ([GOOD, BAD], [1, 2])


def test_a_post_is_asked_for_its_summary_by_each_worker():
    row = {"info": {"post": "I lost my keys.", "title": "Keys"}, "summaries": [{"text": BAD}, {"text": GOOD}],
           "choice": 1, "worker": "w1"}  # fmt: skip
    (found,), _ = read(row)
    assert found["messages"] == [user("Keys\n\nI lost my keys.\n\nTL;DR:")]
    assert found["labels"] == [{"labeler": "w1", "ranks": [2, 1], "scores": None, "scale": None}]


def test_a_tie_of_a_status_is_none():
    (found,), _ = read({"input": P, "chosen": GOOD, "rejected": BAD, "status": "tie", "rating": [9.0, 9.0]})
    assert found["labels"][0]["ranks"] == [1, 1]


def test_dialogues_that_two_models_led_apart_are_dropped():
    row = {"conversation_a": [user(), said("a"), user("And?"), said(GOOD)],
           "conversation_b": [user(), said("b"), user("And?"), said(BAD)], "winner": "model_a"}  # fmt: skip
    found, reading = read(row)
    assert (found, reading.drops) == ([], {"dialogues_differ_before_the_last_answer": 1})


FLAGS = [("label", True, False), ("label", 1, 0), ("label", "True", "False"), ("is_safe", True, False)]


@pytest.mark.parametrize(("column", "good", "bad"), FLAGS)
def test_answers_that_are_marked_bad_are_no_demonstrations(column, good, bad):
    answer = "completion" if column == "label" else "response"
    rows = [{"prompt": f"{P} {index}", answer: text, column: flag, "category": {"spam": not flag, "abuse": False}}
            for index, (text, flag) in enumerate([(GOOD, good), (BAD, bad)])]  # fmt: skip
    (found,), reading = read(*rows)
    assert (found["response"], found["category"]) == (GOOD, "unknown")
    assert reading.drops == {"answer_marked_bad": 1}


def test_ktos_tags_and_lists_of_turns_are_known_too():
    (first,), one = read({"instruction": P, "input": "", "output": GOOD, "kto_tag": True},
                         {"instruction": P, "input": "", "output": BAD, "kto_tag": False})  # fmt: skip
    (second,), two = read({"prompt": [user()], "completion": [said(GOOD)], "label": True},
                          {"prompt": [user()], "completion": [said(BAD)], "label": False})  # fmt: skip
    assert first["response"] == second["response"] == GOOD
    assert one.drops == two.drops == {"answer_marked_bad": 1}


@pytest.mark.parametrize("mark", [{"weight": 0}, {"loss": False}, {"train": False}])
def test_a_turn_that_is_not_to_be_learned_is_no_answer(mark):
    early, late = said("[+] early"), said("[-] late") | mark
    (found,), _ = read({"messages": [user(), early, user("And?"), late]})
    assert (found["messages"], found["response"]) == ([user()], "[+] early")
    found, reading = read({"messages": [user(), late]})
    assert (found, reading.drops) == ([], {"answer_marked_bad": 1})
    (found,), _ = read({"messages": [user(), late, user("And?"), early]})
    assert (found["messages"][1]["content"], found["response"]) == ("[-] late", "[+] early")


def test_answers_of_one_prompt_below_one_another_are_one_comparison():
    rows = [{"prompt": f"{P} {index // 2}", "response": [BAD, GOOD][index % 2], "helpfulness": [1, 4][index % 2],
             "correctness": 1, "coherence": 3, "complexity": 1, "verbosity": 1} for index in range(4)]  # fmt: skip
    found, reading = read(*rows)
    assert reading.form is not None
    assert reading.form.name == "HelpSteer2"
    assert [record["messages"] for record in found] == [[user(f"{P} {index}")] for index in range(2)]
    assert [record["responses"] for record in found] == [[BAD, GOOD]] * 2
    assert [record["labels"][0]["scores"] for record in found] == [[1.0, 4.0]] * 2


def message(name: str, parent: str | None, role: str, text: str, rank: int | None = None) -> dict:
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, "rank": rank, "lang": "en",
            "user_id": f"u_{name}", "message_tree_id": "p", "deleted": False}  # fmt: skip


THREAD = [
    message("b", "p", "assistant", BAD, 1), message("p", None, "prompter", P), message("a", "p", "assistant", GOOD, 0),
    message("q", "a", "prompter", "And in winter?"), message("c", "q", "assistant", "[+] Indoors."),
    message("lost", "absent", "prompter", "Whose?"), message("d", "lost", "assistant", "Mine."),
]  # fmt: skip


def test_threads_are_joined_by_their_parents_and_siblings_are_ranked_from_0():
    found, reading = read(*THREAD)
    ranked, second = found
    assert (ranked["messages"], ranked["responses"], ranked["labels"][0]["ranks"]) == ([user()], [BAD, GOOD], [2, 1])
    assert (ranked["user"], ranked["language"]) == ("u_p", "en")
    assert (second["messages"], second["response"]) == ([user(), said(GOOD), user("And in winter?")], "[+] Indoors.")
    assert reading.drops == {"thread_without_its_beginning": 1}


def test_whole_trees_are_the_same_threads():
    inner = {**THREAD[3], "replies": [{**THREAD[4], "replies": []}]}
    answers = [{**THREAD[0], "replies": []}, {**THREAD[2], "replies": [inner]}]
    found, _ = read({"message_tree_id": "p", "tree_state": "ready", "prompt": {**THREAD[1], "replies": answers}})
    assert [record["messages"] for record in found] == [[user()], [user(), said(GOOD), user("And in winter?")]]
    assert (found[0]["responses"], found[0]["labels"][0]["ranks"]) == ([BAD, GOOD], [2, 1])


TURNS = {  # a row, what stands before the answer
    "history of pairs": ({"instruction": "And?", "output": GOOD, "history": [[P, "First."]], "system": "Be brief."},
                         [system("Be brief."), user(), said("First."), user("And?")]),
    "system_prompt": ({"system_prompt": "Be brief.", "question": P, "response": GOOD}, [system("Be brief."), user()]),
    "BELLE": ({"instruction": f"Human:{P}\nAssistant:First.\nHuman:And?\nAssistant:", "output": GOOD},
              [user(), said("First."), user("And?")]),
    "ChatML": ({"prompt": f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{P}<|im_end|>\n"
                          "<|im_start|>assistant\n", "response": GOOD}, [system("Be brief."), user()]),
    "HelpSteer2's turns": ({"prompt": f"{P}\n<extra_id_1>Assistant\nFirst.\n<extra_id_1>User\nAnd?", "response": GOOD},
                           [user(), said("First."), user("And?")]),
    "a developer": ({"messages": [{"role": "developer", "content": "Be brief."}, user(), said(GOOD)]},
                    [system("Be brief."), user()]),
    "two system turns": ({"messages": [system("Be brief."), system("Be kind."), user(), said(GOOD)]},
                         [system("Be brief.\n\nBe kind."), user()]),
    "an empty system turn": ({"messages": [system(""), user(), said(GOOD)]}, [user()]),
    "an assistant that begins": ({"conversations": [{"from": "gpt", "value": "Hello"}, {"from": "human", "value": P},
                                                    {"from": "gpt", "value": GOOD}]}, [user()]),
    "parts of a turn": ({"messages": [{"role": "user", "content": [{"type": "text", "text": P}]},
                                      {"role": "assistant", "content": [{"type": "text", "text": GOOD}]}]}, [user()]),
    "nulls beside the keys": ({"messages": [{"role": None, "content": None, "from": "human", "value": P},
                                            {"role": None, "content": None, "from": "gpt", "value": GOOD}]}, [user()]),
    "pairs of turns": ({"conversation": [{"human": P, "assistant": "First."}, {"human": "And?", "assistant": GOOD}]},
                       [user(), said("First."), user("And?")]),
    "a list of one turn as the answer": ({"prompt": [user()], "completion": [said(GOOD)]}, [user()]),
    "context beside a question": ({"question": P, "context": "A table.", "answer": GOOD}, [user(f"{P}\n\nA table.")]),
    "LIMA": ({"conversations": [P, GOOD]}, [user()]),
    "Gemini": ({"contents": [{"role": "user", "parts": [{"text": P}]}, {"role": "model", "parts": [{"text": GOOD}]}]},
               [user()]),
    "guanaco": ({"text": f"### Human: {P}### Assistant: First.\n### Human: And?### Assistant: {GOOD}"},
                [user(), said("First."), user("And?")]),
    "guanaco's lines": ({"text": f"### Human: {P}\n### Assistant: {GOOD}"}, [user()]),
    "aya": ({"inputs": P, "targets": GOOD, "language": "English"}, [user()]),
    "firefly": ({"kind": "NLI", "input": P, "target": GOOD}, [user()]),
    "turns as text": ({"prompt": json.dumps([user()]), "response": GOOD}, [user()]),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TURNS))
def test_turns_are_told_apart_and_none_is_lost(name):
    row, before = TURNS[name]
    (found,), _ = read(row)
    assert (found["messages"], found["response"]) == (before, GOOD)


def test_a_system_turn_stands_before_pairs_of_message_lists_too():
    turns = {"chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)]}
    for row in ({"system": "Be brief.", "prompt": P, **turns}, {"system": "Be brief.", **turns},
                {"prompt": [system("Be brief."), user()], **turns}):  # fmt: skip
        (found,), _ = read(row)
        assert (found["messages"], found["responses"]) == ([system("Be brief."), user()], [GOOD, BAD])


def test_what_both_answers_repeat_of_the_prompt_is_no_answer():
    for prompt in (TRANSCRIPT, P, [user()]):
        (found,), _ = read({"prompt": prompt, "chosen": TRANSCRIPT + GOOD, "rejected": TRANSCRIPT + BAD})
        assert (found["messages"], found["responses"]) == ([user()], [GOOD, BAD])
    (found,), _ = read({"prompt": [user(), said("a"), user("And?")], "chosen": [user("And?"), said(GOOD)],
                        "rejected": [user("And?"), said(BAD)]})  # fmt: skip
    assert found["messages"] == [user(), said("a"), user("And?")]


def test_one_turn_may_be_an_answer():
    (found,), _ = read({"conversations": [{"from": "human", "value": P}], "chosen": {"from": "gpt", "value": GOOD},
                        "rejected": {"from": "gpt", "value": BAD}})  # fmt: skip
    assert (found["messages"], found["responses"]) == ([user()], [GOOD, BAD])


def test_an_answer_that_the_prompt_begins_goes_on():
    prompt = [user(), said("Sure, here is")]
    (found,), _ = read({"prompt": prompt, "response": "a tip."})
    assert (found["messages"], found["response"]) == ([user()], "Sure, here is a tip.")
    (found,), _ = read({"prompt": prompt, "chosen": "a tip.", "rejected": " no tip."})
    assert (found["messages"], found["responses"]) == ([user()], ["Sure, here is a tip.", "Sure, here is no tip."])


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([user(), {"role": "assistant", "content": None, "tool_calls": [{}]}, said(GOOD)], "tools_are_used"),
        ([user(), {"role": "tool", "content": "x"}, said(GOOD)], "tools_are_used"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, said(GOOD)], "not_only_text"),
    ],
)
def test_turns_of_tools_and_pictures_are_dropped_and_end_no_source(turns, reason):
    (found,), reading = read({"messages": turns}, {"messages": [user(), said(GOOD)]})
    assert (found["response"], reading.drops) == (GOOD, {reason: 1})


@pytest.mark.parametrize(
    ("name", "language"),
    [("Chinese", "zh"), ("chinese", "zh"), ("cmn", "zh"), ("Simplified Chinese", "zh"), ("zh-CN", "zh"),
     ("English", "en"), ("eng", "en"), ("en_US", "en"), ("German", "de"), ("fr", "fr"), ("pt-BR", "pt"),
     ("python", None), ("", None)],
)  # fmt: skip
def test_names_of_languages_are_languages_and_others_say_nothing(name, language):
    (found,), _ = read({"prompt": P, "language": name})
    assert found["language"] == language


def test_an_empty_cell_is_no_user():
    (found,), _ = read({"user_id": "", "prompt": P, "response": GOOD, "category": " "})
    assert (found["user"], found["category"]) == (None, "unknown")


@pytest.mark.parametrize(
    "cell",
    ['[{"role": "user", "content": "a"}]', "[{'role': 'user', 'content': 'a'}]",
     "[{'role': 'user', 'content': 'a'}\n {'role': 'assistant', 'content': \"it's\"}]"],
)  # fmt: skip
def test_lists_that_tables_hold_as_text_are_lists(cell):
    assert in_cell(cell)[0] == user("a")


@pytest.mark.parametrize("column", ["prompt", "response_a"])
def test_half_of_a_character_in_a_cell_is_named_by_its_row(column):
    row = {
        "prompt": "P",
        "response_a": "a",
        "response_b": "b",
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    }
    with pytest.raises(ValueError, match=r"a\.jsonl: line 1: .*ud83d is half of a character"):
        read(row | {column: '["a \\ud83d"]'}, max_broken=0.0)
    with pytest.raises(ValueError, match=r"a\.jsonl: line 1, column 'prompt': .*ud83d is half of a character"):
        read({"prompt": '[{"role": "user", "content": "\\ud83d"}]', "response": GOOD}, max_broken=0.0)


@pytest.mark.parametrize("text", ["[1] is a note", "[sic]", "plain", "[" * 5000 + "]" * 5000, "[__import__('os')]"])
def test_text_in_brackets_stays_text(text):
    assert in_cell(text) == text
    (found,), _ = read({"prompt": text, "response": GOOD})
    assert found["messages"] == [user(text)]


def test_a_use_that_no_row_serves_is_an_error_that_names_the_columns_nobody_read():
    found, reading = read({"prompt": P, "reply_good": GOOD, "reply_bad": BAD, "post_id": "7"}, use=["comparisons"],
                          splits=["reward_model"])  # fmt: skip
    assert [record["kind"] for record in found] == ["prompt"]
    with pytest.raises(ValueError) as error:
        reading.check(1)
    assert str(error.value).startswith(
        "source 'given': use names comparisons, and none of its 1 rows is one: 1 prompts. Columns that nobody read: "
        "reply_good, reply_bad. Say what its columns mean by columns, or its format by form"
    )


def test_a_mapping_that_leaves_out_what_decides_is_said():
    row, _ = PREFERENCES["PKU-SafeRLHF"]
    naive = {"prompt": "prompt", "chosen": "response_0", "rejected": "response_1"}
    _, reading = read(row, columns=naive)
    assert [*reading.lines(1)] == [
        "WARNING: given: its columns are those of PKU-SafeRLHF (better_response_id, the index of the better response), "
        "and columns leaves out better_response_id; without columns it is read so"
    ]
    right = {"prompt": "prompt", "first": "response_0", "second": "response_1", "better": "better_response_id"}
    (found,), reading = read(row, columns=right)
    assert (found["labels"][0]["ranks"], [*reading.lines(1)]) == ([2, 1], [])


UNREAD = [  # rows of which a column with content stays unread, though its name is a usual one
    ({"prompt": P, "response": GOOD, "answer": "reject"}, "answer"),
    ({"prompt": P, "input": "A table.", "response": GOOD}, "input"),
    ({"prompt": P, "context": [user("Before.")], "response": GOOD}, "context"),
    ({"prompt": P, "response": GOOD, "labels": [0, 1]}, "labels"),
    ({"messages": [user(), said(FIRST)], "response": GOOD}, "response"),
    ({"prompt": P, "response": BAD, "revision": GOOD}, "revision"),
    ({"question": P, "answer": "B", "options": ["a", "b"]}, "options"),
    ({"prompt": P, "response": GOOD, "reward": -3.0}, "reward"),
]


@pytest.mark.parametrize(("row", "column"), UNREAD)
def test_a_column_in_whose_place_another_was_taken_is_said(row, column):
    _, reading = read(row)
    assert [*reading.lines(1)] == [f"WARNING: given: Columns that nobody read: {column}. "]


def test_the_same_text_in_two_columns_is_not_said():
    same = {"prompt": P, "question": P, "response": GOOD, "messages": []}
    for row in (same, {"messages": [user(), said(GOOD)], "response": GOOD}, {"messages": [user()], "response": GOOD}):
        _, reading = read(row)
        assert [*reading.lines(1)] == []


@pytest.mark.parametrize(
    "mark", ["[INST] {} [/INST]", "### Instruction:\n{}\n\n### Response:\n", "USER: {} ASSISTANT:", "{}</s>"]
)
def test_marks_of_chat_templates_that_stay_in_texts_are_said(mark):
    _, reading = read({"prompt": mark.format(P), "response": GOOD})
    (line,) = reading.lines(1)
    assert "WARNING: given: texts with marks of a chat template, " in line
    _, reading = read({"text": mark.format(P)}, use=["documents"], splits=[])
    assert [*reading.lines(1)] == []


def test_a_mapping_takes_texts_without_the_pictures_or_tools_beside_them():
    for beside in ({"image": "a.png"}, {"tools": [{"name": "f"}]}):
        found, reading = read({"ask": P, "say": GOOD, **beside}, columns={"prompt": "ask", "response": "say"})
        assert ([record["response"] for record in found], reading.drops) == ([GOOD], {})
        found, reading = read({"prompt": P, "response": GOOD, **beside})
        assert (found, reading.drops.total()) == ([], 1)


def test_an_unknown_role_in_a_chat_template_is_named_by_its_place():
    with pytest.raises(ValueError, match=r"a\.jsonl: line 1, column 'prompt': role 'narrator' is none of"):
        read({"prompt": "<|im_start|>narrator\nOnce.<|im_end|>", "response": GOOD}, max_broken=0.0)


def test_part_of_a_source_that_is_bare_prompts_is_said():
    _, reading = read({"prompt": P, "response": GOOD}, {"prompt": f"{P}!"}, use=["demonstrations", "prompts"])
    reading.check(2)
    assert [*reading.lines(2)] == ["given: 1 demonstrations, 1 prompts"]


def test_few_broken_rows_are_left_out_and_said_and_more_are_an_error():
    rows = [{"prompt": f"{P} {number}", "response": GOOD} for number in range(99)]
    broken = {"prompt": 3, "response": GOOD}
    use = {"use": ["demonstrations"], "splits": ["sft"]}
    found, reading = read(*rows, broken, **use)
    reading.check(100)
    assert len(found) == 99
    (line,) = reading.lines(100)
    assert line.startswith("WARNING: given: 1 of 100 rows are broken and left out: a.jsonl: line 100, column 'prompt'")
    _, reading = read(*rows, broken, broken, **use)
    with pytest.raises(ValueError, match=r"line 100, column 'prompt': .* \(2 of 101 rows are broken;"):
        reading.check(101)
    with pytest.raises(ValueError, match="line 100"):
        read(*rows, broken, **use, max_broken=0.0)


def test_a_strict_source_ends_at_its_first_odd_row_with_file_line_and_column():
    good, bad = {"messages": [user(), said(GOOD)]}, {"messages": [user(), said(BAD)], "label": False}
    number, tool = {"messages": [{"role": "user", "content": 3}]}, {"messages": [{"role": "tool"}]}
    odd = {
        "a.jsonl: line 100, column 'messages': turn 1: expected text as content, got int": number,
        "a.jsonl: line 100: source 'given' is strict: tools_are_used (turns of tools": tool,
    }
    for expected, row in odd.items():
        read(*[good] * 99, row, use=["demonstrations"], splits=["sft"])
        with pytest.raises(ValueError, match=re.escape(expected)):
            read(*[good] * 99, row, use=["demonstrations"], splits=["sft"], strict=True)
    _, reading = read({**good, "label": True}, bad, strict=True)
    assert reading.drops == {"answer_marked_bad": 1}


MAPPED = [  # what decides by params, coded three ways; and a row of a tie
    ({"winner": "who"}, {"who": "model_b"}, {"who": "tie"}),
    ({"better": "which"}, {"which": 1}, {"which": None}),
    ({"strength": "by"}, {"by": 2.5}, {"by": 0}),
]


@pytest.mark.parametrize(("columns", "decides", "tie"), MAPPED)
def test_a_mapping_says_what_decides_between_two(columns, decides, tie):
    mapping = {"prompt": "q.text", "first": "one", "second": "two.said", **columns}
    row = {"q": {"text": P}, "one": BAD, "two": {"said": GOOD}, **decides}
    (found,), _ = read(row, columns=mapping)
    assert (found["messages"], found["responses"], found["labels"][0]["ranks"]) == ([user()], [BAD, GOOD], [2, 1])
    found, _ = read({**row, **tie}, columns=mapping, max_broken=1.0)
    if tie != {"which": None}:
        assert found[0]["labels"][0]["ranks"] == [1, 1]


def test_a_mapping_leads_into_objects_and_lists():
    columns = {"prompt": "info.post", "responses": "summaries[].text", "scores": "summaries[].overall"}
    row = {"info": {"post": P}, "summaries": [{"text": BAD, "overall": 1}, {"text": GOOD, "overall": 7}]}
    (found,), _ = read(row, columns=columns)
    assert (found["responses"], found["labels"][0]["scores"]) == ([BAD, GOOD], [1, 7])
    _, reading = read(row | {"reply": BAD}, columns=columns)
    assert [line for line in reading.lines(1) if "nobody read" in line] == [
        "WARNING: given: Columns that nobody read: reply. "
    ]
    for wrong, said in {"info.title": "no column 'info.title'", "info[].post": "'info' is no list"}.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            read(row, columns=columns | {"prompt": wrong}, max_broken=0.0)
    (found,), _ = read({"a.b": P, "response": GOOD}, columns={"prompt": "a.b", "response": "response"})
    assert found["messages"] == [user()]


def test_a_mapping_says_which_answers_are_good():
    columns = {"prompt": "ask", "response": "reply", "label": "thumb"}
    (found,), reading = read({"ask": P, "reply": GOOD, "thumb": "up"}, {"ask": P, "reply": GOOD, "thumb": 1},
                             {"ask": P, "reply": BAD, "thumb": 0}, columns=columns, max_broken=1.0)  # fmt: skip
    assert (found["response"], reading.drops) == (GOOD, {"answer_marked_bad": 1})
    with pytest.raises(ValueError, match="column 'thumb': expected true or false, got 'up'"):
        read({"ask": P, "reply": GOOD, "thumb": "up"}, columns=columns, max_broken=0.0)


def test_two_answers_need_one_column_that_decides():
    columns = {"prompt": "p", "first": "a", "second": "b"}
    with pytest.raises(ValueError, match="expected first, second and one of winner, better, strength"):
        read({"p": P, "a": BAD, "b": GOOD}, columns=columns, max_broken=0.0)


def test_what_two_formats_explain_is_asked_and_params_may_say():
    both = {"prompt": P, "response_0": BAD, "response_1": GOOD, "better_response_id": 1, "response_a": BAD,
            "response_b": GOOD, "winner": "model_b"}  # fmt: skip
    with pytest.raises(ValueError, match="its rows may be 'PKU-SafeRLHF' .* or 'WSDM cup' .* say which by .* form"):
        read(both)
    _, reading = read(both, form="WSDM cup")
    assert reading.form is not None
    assert reading.form.name == "WSDM cup"
    (found,), reading = read(both, form="own")
    assert (reading.form, found["kind"]) == (None, "prompt")
    with pytest.raises(ValueError, match="form: expected own or one of .*'WSDM'"):
        read(both, form="WSDM")


def test_a_broken_row_of_a_known_format_names_place_format_and_column():
    row, _ = PREFERENCES["PKU-SafeRLHF"]
    with pytest.raises(ValueError) as error:
        read({**row, "better_response_id": 7}, max_broken=0.0)
    expected = "a.jsonl: line 1: read as PKU-SafeRLHF: column 'better_response_id': expected 0 or 1, got 7"
    assert str(error.value) == expected


WHOLE = {  # rows of every format, the last of which is then broken
    **{name: [row] for name, (row, _) in PREFERENCES.items()},
    **{name: [row] for name, row in BETTER_FIRST.items()},
    **{name: [row] for name, (row, _) in TURNS.items()},
    "OpenAssistant messages": THREAD,
    "OpenAssistant trees": [{"message_tree_id": "p", "prompt": {**THREAD[1], "replies": [THREAD[0]]}}],
    "HelpSteer2": [{"prompt": P, "response": GOOD, "helpfulness": 1, "correctness": 1, "coherence": 3}],
}  # fmt: skip
ODD = [None, 3, "x", [], {}, [1], [None], [{}], {"a": 1}, float("nan"), [{"id": 1}]]


def broken(row: dict):
    """Yield a row without each of its columns, and with each of them, and of what lies in them, something odd."""
    for name, value in row.items():
        yield {other: row[other] for other in row if other != name}
        yield from ({**row, name: odd} for odd in ODD)
        inner = value[0] if isinstance(value, list) and value else value
        for key in inner if isinstance(inner, dict) else ():
            for odd in ODD:
                changed = {**inner, key: odd}
                yield {**row, name: [changed, *value[1:]] if isinstance(value, list) else changed}


@pytest.mark.parametrize("name", list(WHOLE))
def test_any_broken_row_of_a_format_is_read_dropped_or_named_by_its_place(name):
    for row in broken(WHOLE[name][-1]):
        try:
            _, reading = read(*WHOLE[name], row, *WHOLE[name], max_broken=1.0)
        except ValueError as error:
            assert "its rows may be" in str(error)
        else:
            places = [line.partition("left out: ")[2] for line in reading.lines(3) if "broken" in line]
            assert all(place.startswith("a.jsonl: line ") and "column" in place for place in places)


def test_every_format_has_a_name_of_its_own_and_says_what_decides():
    names = [form.name for form in known.FORMS if not form.name.startswith("answers with ")]
    assert len(names) == len({*names})
    assert all(form.says for form in known.FORMS)


def test_a_format_is_shown_on_the_screen():
    row, _ = PREFERENCES["HelpSteer2 preference"]
    _, reading = read(row)
    says = "preference_strength -3..3: below 0 response_1 is better, 0 is a tie"
    assert [*reading.lines(1)] == [f"given: read as HelpSteer2 preference: {says}"]


def test_the_documentation_has_every_format():
    page = (toys.REPO / "docs/data.md").read_text(encoding="utf-8")
    rows = [f"| {form.name} | " for form in known.FORMS] + [f" | {form.says} |" for form in known.FORMS]
    assert [row for row in rows if row not in page] == []
