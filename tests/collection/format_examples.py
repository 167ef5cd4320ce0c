"""Small files in the formats that people bring, each with the records that are right, or with what refuses it.

Good answers begin with [+], bad ones with [-], so that a side that was taken for the other is seen.
"""

import json
from typing import Any, NamedTuple

P, GOOD, BAD = "How do I keep basil alive?", "[+] Light and water.", "[-] Plants are hard."
FIRST, AND = "First.", "And in winter?"
TRANSCRIPT = f"\n\nHuman: {P}\n\nAssistant: "


class Example(NamedTuple):
    """Rows of a format, and what they are."""

    rows: list[dict[str, Any]]
    records: list[dict[str, Any]] = []
    drops: dict[str, int] = {}  # rows that are left out, by reason
    said: dict[str, Any] | None = None  # keys of the source that explain what its columns do not
    error: str = ""  # what is said where they are not explained
    use: list[str] | None = None  # null: what the records are


def user(text: str = P) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def human(text: str = P) -> dict[str, Any]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, Any]:
    return {"from": "gpt", "value": text}


def parts(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text, **more}]}


ASKED = [user()]
BRIEF = [system("Be brief."), user()]
LATER = [user(), said(FIRST), user(AND)]


def demonstration(messages: list[dict[str, Any]] = ASKED, response: str = GOOD) -> dict[str, Any]:
    return {"kind": "demonstration", "messages": messages, "response": response}


def prompt(messages: list[dict[str, Any]] = ASKED) -> dict[str, Any]:
    return {"kind": "prompt", "messages": messages}


def document(text: str) -> dict[str, Any]:
    return {"kind": "document", "text": text}


def ranked(*judgements: list[int], messages: list[dict[str, Any]] = ASKED, responses: list[str] | None = None) -> dict:
    answers = [BAD, GOOD] if responses is None else responses
    return {"kind": "comparison", "messages": messages, "responses": answers, "ranks": [*judgements]}


def pair(messages: list[dict[str, Any]] = ASKED) -> dict[str, Any]:
    return ranked([1, 2], messages=messages, responses=[GOOD, BAD])


SECOND, TIE = ranked([2, 1]), ranked([1, 1])  # of BAD and GOOD
MARKED = {"answer_marked_bad": 1}

TRL = {
    "TRL prompt-only, standard": Example([{"prompt": P}], [prompt()]),
    "TRL prompt-only, conversational": Example([{"prompt": BRIEF}], [prompt(BRIEF)]),
    "TRL prompt-completion, standard": Example([{"prompt": P, "completion": GOOD}], [demonstration()]),
    "TRL prompt-completion, conversational": Example([{"prompt": ASKED, "completion": [said(GOOD)]}],
                                                     [demonstration()]),
    "TRL preference, explicit, standard": Example([{"prompt": P, "chosen": GOOD, "rejected": BAD}], [pair()]),
    "TRL preference, explicit, conversational": Example(
        [{"prompt": BRIEF, "chosen": [said(GOOD)], "rejected": [said(BAD)]}], [pair(BRIEF)]),
    "TRL preference, implicit, standard": Example(
        [{"chosen": f"{P} {GOOD}", "rejected": f"{P} {BAD}"}], [pair()],
        said={"form": "TRL implicit prompt"}, error="set form: TRL implicit prompt"),
    "TRL preference, implicit, conversational": Example(
        [{"chosen": [*BRIEF, said(GOOD)], "rejected": [*BRIEF, said(BAD)]}], [pair(BRIEF)]),
    "TRL unpaired, standard": Example([{"prompt": P, "completion": GOOD, "label": True},
                                       {"prompt": P, "completion": BAD, "label": False}], [demonstration()], MARKED),
    "TRL unpaired, conversational": Example(
        [{"prompt": ASKED, "completion": [said(GOOD)], "label": True},
         {"prompt": ASKED, "completion": [said(BAD)], "label": False}], [demonstration()], MARKED),
    "TRL stepwise": Example([{"prompt": P, "completions": ["One.", "Two."], "labels": [True, False]}],
                            error="labels are of steps of one answer"),
    "TRL language modeling": Example([{"text": "Basil is a herb."}], [document("Basil is a herb.")]),
    "TRL language modeling, used as demonstrations": Example(
        [{"text": "Basil is a herb."}], use=["demonstrations"], error="add documents to use"),
    "TRL language modeling, used as prompts": Example(
        [{"text": "Basil is a herb."}], use=["prompts"], error="add documents to use"),
    "TRL tool calls": Example(
        [{"messages": [user(), {"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]},
                       {"role": "tool", "name": "f", "content": "1"}, said(GOOD)]},
         {"messages": [user(), said(GOOD)]}], [demonstration()], {"tools_are_used": 1}),
}  # fmt: skip

ANTHROPIC = {
    "hh-rlhf": Example([{"chosen": TRANSCRIPT + GOOD, "rejected": TRANSCRIPT + BAD}], [pair()]),
    "hh-rlhf, a human last": Example(
        [{"chosen": TRANSCRIPT + GOOD, "rejected": TRANSCRIPT + BAD},
         {"chosen": f"\n\nHuman: {P}\n\nAssistant: x\n\nHuman: y", "rejected": TRANSCRIPT + BAD}],
        [pair()], {"no_answer": 1}),
    "hh-rlhf, red team": Example(
        [{"transcript": f"{TRANSCRIPT}{FIRST}\n\nHuman: {AND}\n\nAssistant: {GOOD}", "rating": 4.0,
          "task_description": "x"}],
        [demonstration(LATER)], said={"columns": {"prompt": "transcript"}}, error="no usual columns among: transcript"),
    "Dahoas": Example([{"prompt": TRANSCRIPT, "response": f" {GOOD}", "chosen": GOOD, "rejected": BAD}], [pair()]),
    "prompt beside whole transcripts": Example(
        [{"prompt": TRANSCRIPT, "chosen": TRANSCRIPT + GOOD, "rejected": TRANSCRIPT + BAD}], [pair()]),
    "Anthropic system and messages": Example([{"system": "Be brief.", "messages": [user(), said(GOOD)]}],
                                             [demonstration(BRIEF)]),
}  # fmt: skip

POST = {"id": "t3", "post": "I lost my keys.", "title": "Keys", "subreddit": "x"}
SUMMARISE = [user("Keys\n\nI lost my keys.\n\nTL;DR:")]


def rated(text: str, overall: int, worker: str) -> dict[str, Any]:
    summary = {"text": text, "policy": "x", "note": None, "axes": {"overall": overall, "accuracy": 7}}
    return {"info": POST, "summary": summary, "worker": worker, "batch": "b", "split": "test"}


SUMMARIES = {
    "summarize_from_feedback, comparisons": Example(
        [{"info": POST, "summaries": [{"text": BAD, "policy": "x"}, {"text": GOOD, "policy": "y"}], "choice": 1,
          "worker": worker, "batch": "b"} for worker in ("v", "w")],
        [ranked([2, 1], messages=SUMMARISE)] * 2),
    "summarize_from_feedback, axis evals": Example(
        [rated(BAD, 2, "v"), rated(GOOD, 6, "w"), rated(GOOD, 7, "v"), rated(BAD, 6, "w")],
        [ranked([2, 1], messages=SUMMARISE), ranked([1, 1], messages=SUMMARISE, responses=[GOOD, BAD])]),
    "TL;DR, CarperAI and trl-lib": Example(
        [{"prompt": "SUBREDDIT: r/x\nPOST: I lost my keys.\nTL;DR:", "chosen": GOOD, "rejected": BAD, "label": GOOD}],
        [pair([user("SUBREDDIT: r/x\nPOST: I lost my keys.\nTL;DR:")])]),
    "TL;DR, preprocessed": Example([{"query": P, "response0": BAD, "response1": GOOD, "choice": 1}], [SECOND]),
}  # fmt: skip


def oasst(name: str, parent: str | None, role: str, text: str, rank: int | None = None) -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, "rank": rank, "lang": "en",
            "user_id": f"u_{name}", "message_tree_id": "p", "deleted": False}  # fmt: skip


THREAD = [oasst("b", "p", "assistant", BAD, 1), oasst("p", None, "prompter", P), oasst("a", "p", "assistant", GOOD, 0)]


def arena(winner: str, **more: Any) -> dict[str, Any]:
    return {"model_a": "m", "model_b": "n", "winner": winner, "conversation_a": [user(), said(BAD)],
            "conversation_b": [user(), said(GOOD)], **more}  # fmt: skip


def kaggle(a: str, b: str, tie: str, asked: list[str], first: list[str], second: list[str]) -> dict[str, Any]:
    return {"id": "1", "model_a": "m", "model_b": "n", "prompt": json.dumps(asked), "response_a": json.dumps(first),
            "response_b": json.dumps(second), "winner_model_a": a, "winner_model_b": b, "winner_tie": tie}  # fmt: skip


PUBLIC = {
    "SHP": Example([{"history": P, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1, "score_A": 9},
                    {"history": P, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_A": 1}],
                   [ranked([2, 1]), ranked([1, 2], responses=[GOOD, BAD])]),
    "WebGPT comparisons": Example(
        [{"question": {"full_text": P, "dataset": "eli5"}, "answer_0": BAD, "answer_1": GOOD, "score_0": -0.5,
          "score_1": 0.5},
         {"question": {"full_text": P}, "answer_0": BAD, "answer_1": GOOD, "score_0": 0.0, "score_1": 0.0}],
        [SECOND, TIE]),
    "OpenAssistant, messages": Example(THREAD, [SECOND]),
    "OpenAssistant, trees": Example(
        [{"message_tree_id": "p", "tree_state": "x",
          "prompt": {**THREAD[1], "replies": [{**THREAD[0], "replies": []}, {**THREAD[2], "replies": []}]}}], [SECOND]),
    "guanaco": Example([{"text": f"### Human: {P}### Assistant: {GOOD}"}], [demonstration()]),
    "Chatbot Arena": Example([arena("model_b", judge="arena_user_1", turn=1, language="English"),
                              arena("tie", judge="arena_user_2"), arena("tie (bothbad)", judge="arena_user_3")],
                             [SECOND, TIE, TIE]),
    "Chatbot Arena, dialogues led apart": Example(
        [arena("model_b"), {"winner": "model_a", "conversation_a": [user(), said("a"), user(AND), said(GOOD)],
                            "conversation_b": [user(), said("b"), user(AND), said(BAD)]}],
        [SECOND], {"dialogues_differ_before_the_last_answer": 1}),
    "Chatbot Arena, in a table's cells": Example(
        [{"winner": "model_b", "conversation_a": json.dumps([user(), said(BAD)]),
          "conversation_b": json.dumps([user(), said(GOOD)])}], [SECOND]),
    "arena-human-preference-140k": Example(
        [{"winner": "model_b", "conversation_a": [parts("user", P, image=None), parts("assistant", BAD)],
          "conversation_b": [parts("user", P, image=None), parts("assistant", GOOD)], "full_conversation": []},
         {"winner": "both_bad", "conversation_a": [parts("user", P), parts("assistant", BAD)],
          "conversation_b": [parts("user", P), parts("assistant", GOOD)]}], [SECOND, TIE]),
    "Kaggle LMSYS": Example([kaggle("0", "1", "0", [P], [BAD], [GOOD]), kaggle("0", "0", "1", [P], [BAD], [GOOD]),
                             kaggle("1", "0", "0", [P, AND], [FIRST, GOOD], [FIRST, BAD]),
                             kaggle("1", "0", "0", [P, AND], ["a", GOOD], ["b", BAD])],
                            [SECOND, TIE, pair(LATER)], {"dialogues_differ_before_the_last_answer": 1}),
    "WSDM cup": Example([{"id": "1", "prompt": P, "response_a": BAD, "response_b": GOOD, "winner": "model_b",
                          "language": "English"}], [SECOND]),
    "LMSYS-Chat-1M": Example([{"conversation_id": "1", "model": "m", "conversation": [user(), said(GOOD)], "turn": 1,
                               "language": "English", "redacted": False}], [demonstration()]),
    "WildChat": Example([{"conversation_hash": "1", "conversation": [{**user(), "language": "English", "toxic": False},
                                                                      {**said(GOOD), "language": "English"}],
                          "turn": 1, "language": "English"}], [demonstration()]),
    "MT-bench human judgments": Example(
        [arena(winner, judge=judge, turn=1) for judge, winner in [("a", "model_a"), ("b", "model_b"), ("c",
                                                                                                       "model_b")]],
        [ranked([1, 2]), SECOND, SECOND]),
    "UltraFeedback": Example(
        [{"source": "x", "instruction": P, "models": ["m", "n"], "completions": [
            {"response": BAD, "overall_score": 2.0}, {"response": GOOD, "overall_score": 8.0}]}], [SECOND]),
    "UltraFeedback, in a table's cells": Example(
        [{"instruction": P, "completions": f"[{{'response': '{BAD}', 'overall_score': 2.0}}\n"
                                           f" {{'response': '{GOOD}', 'overall_score': 8.0}}]"}], [SECOND]),
    "UltraFeedback binarized": Example(
        [{"prompt": P, "prompt_id": "1", "chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)],
          "messages": [user(), said(GOOD)], "score_chosen": 8.0, "score_rejected": score} for score in (2.0, 8.0)],
        [pair(), ranked([1, 1], responses=[GOOD, BAD])]),
    "UltraFeedback, cleaned by Argilla": Example(
        [{"instruction": P, "chosen_response": GOOD, "rejected_response": BAD, "chosen_avg_rating": 5.0}], [pair()]),
    "Nectar": Example([{"prompt": TRANSCRIPT, "answers": [{"answer": BAD, "rank": 2.0}, {"answer": GOOD,
                                                                                         "rank": 1.0}]}],
                      [SECOND]),
    "HelpSteer2": Example(
        [{"prompt": P, "response": text, "helpfulness": score, "correctness": 1, "coherence": 3, "complexity": 1,
          "verbosity": 1} for text, score in [(BAD, 1), (GOOD, 4)]], [SECOND]),
    "HelpSteer2, several turns": Example(
        [{"prompt": f"{P}\n<extra_id_1>Assistant\n{FIRST}\n<extra_id_1>User\n{AND}", "response": text,
          "helpfulness": score, "correctness": 1, "coherence": 3} for text, score in [(BAD, 1), (GOOD, 4)]],
        [ranked([2, 1], messages=LATER)]),
    "HelpSteer2, preference": Example(
        [{"prompt": P, "response_1": BAD, "response_2": GOOD, "preference_strength": strength, "split": "train"}
         for strength in (2, 0, -3)], [SECOND, TIE, ranked([1, 2])]),
    "HelpSteer3": Example(
        [{"domain": "general", "language": "english", "context": ASKED, "response1": BAD, "response2": GOOD,
          "overall_preference": strength, "individual_preference": []} for strength in (1, 0, -3)],
        [SECOND, TIE, ranked([1, 2])]),
    "PKU-SafeRLHF": Example([{"prompt": P, "response_0": BAD, "response_1": GOOD, "is_response_0_safe": False,
                              "is_response_1_safe": True, "better_response_id": 1, "safer_response_id": 1}], [SECOND]),
    "BeaverTails": Example(
        [{"prompt": P, "response": text, "category": {"abuse": not safe}, "is_safe": safe}
         for text, safe in [(GOOD, True), (BAD, False)]], [demonstration()], MARKED),
    "Alpaca, empty input": Example([{"instruction": P, "input": "", "output": GOOD}], [demonstration()]),
    "Alpaca, empty instruction": Example([{"instruction": "", "input": P, "output": GOOD}], [demonstration()]),
    "an empty column before a full one": Example([{"prompt": "", "instruction": P, "output": "", "answer": GOOD}],
                                                 [demonstration()]),
    "Dolly": Example([{"instruction": "Sum up.", "context": P, "response": GOOD, "category": "summarization"}],
                     [demonstration([user(f"Sum up.\n\n{P}")])]),
    "Intel orca_dpo_pairs": Example([{"system": "Be brief.", "question": P, "chosen": GOOD, "rejected": BAD}],
                                    [pair(BRIEF)]),
    "OpenOrca": Example([{"id": "1", "system_prompt": "Be brief.", "question": P, "response": GOOD}],
                        [demonstration(BRIEF)]),
    "distilabel Intel orca pairs": Example(
        [{"system": "", "input": P, "chosen": GOOD, "rejected": BAD, "status": status, "rating": [9.0, 9.0]}
         for status in ("unchanged", "tie")], [pair(), ranked([1, 1], responses=[GOOD, BAD])]),
    "distilabel generations": Example(
        [{"instruction": P, "generations": [BAD, "x", GOOD], "ratings": ["1", None, 5.0]}], [SECOND]),
    "distilabel FormatTextGenerationDPO": Example(
        [{"system_prompt": "Be brief.", "prompt": P, "chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)]}],
        [pair(BRIEF)]),
    "Capybara": Example([{"source": "x", "conversation": [{"input": P, "output": FIRST}, {"input": AND,
                                                                                          "output": GOOD}]}],
                        [demonstration(LATER)]),
    "Capybara DPO": Example(
        [{"conversation": [{"input": P, "output": GOOD}], "chosen": [user(), said(GOOD)], "rejected": [user(),
                                                                                                       said(BAD)],
          "rating_chosen": 5, "rating_rejected": 2}], [pair()]),
    "Skywork": Example([{"chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)], "source": "x"}], [pair()]),
    "RewardBench 1": Example([{"prompt": P, "chosen": GOOD, "rejected": BAD, "subset": "x", "id": 1}], [pair()]),
    "RewardBench 2": Example([{"prompt": P, "chosen": [GOOD], "rejected": [BAD, "[-] x"], "subset": "x"}],
                             [ranked([1, 2, 2], responses=[GOOD, BAD, "[-] x"])]),
    "stack-exchange-paired": Example([{"qid": 1, "question": P, "response_j": GOOD, "response_k": BAD}], [pair()]),
    "H4 stack-exchange-preferences": Example(
        [{"qid": 1, "question": P, "answers": [{"text": BAD, "pm_score": 0}, {"text": GOOD, "pm_score": 5}]}],
        [SECOND]),
    "CValues-Comparison": Example([{"prompt": P, "pos_resp": GOOD, "neg_resp": BAD, "pos_type": "x"}], [pair()]),
    "zhihu_rlhf_3k": Example([{"prompt": P, "chosen": GOOD, "rejected": BAD}], [pair()]),
    "BELLE, one turn": Example([{"instruction": P, "input": "", "output": GOOD}], [demonstration()]),
    "BELLE, several turns": Example(
        [{"instruction": f"Human:{P}\nAssistant:{FIRST}\nHuman:{AND}\nAssistant:", "input": "", "output": GOOD}],
        [demonstration(LATER)]),
    "DPO-En-Zh-20k": Example([{"system": "Be brief.", "history": [[P, FIRST]], "question": AND, "response_chosen": GOOD,
                               "response_rejected": BAD}], [pair([system("Be brief."), *LATER])]),
    "hh_rlhf_cn": Example([{"context": [{"role": "human", "text": P}], "chosen": {"role": "assistant", "text": GOOD},
                            "rejected": {"role": "assistant", "text": BAD}}], [pair()]),
    "firefly": Example([{"kind": "NLI", "input": P, "target": GOOD}], [demonstration()]),
    "aya": Example([{"inputs": P, "targets": GOOD, "language": "English"}], [demonstration()]),
    "AlpacaFarm": Example([{"instruction": P, "input": "", "output_1": BAD, "output_2": GOOD, "preference": number}
                           for number in (2, 1, 1.5)], [SECOND, ranked([1, 2]), TIE]),
    "sql-create-context": Example([{"question": P, "context": "CREATE TABLE a (b INTEGER)", "answer": GOOD}],
                                  [demonstration([user(f"{P}\n\nCREATE TABLE a (b INTEGER)")])]),
    "UltraInteract": Example([{"task": "x", "id": "1", "trajectory": [human(), gpt(FIRST), human(AND)], "chosen": GOOD,
                               "rejected": BAD}], [pair(LATER)]),
    "LIMA": Example([{"conversations": [P, GOOD], "source": "x"}], [demonstration()]),
    "ChatML strings": Example(
        [{"prompt": f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{P}<|im_end|>\n"
                    "<|im_start|>assistant\n",
          "chosen": f"{GOOD}<|im_end|>", "rejected": f"{BAD}<|im_end|>"}], [pair(BRIEF)]),
    "Llama 3 strings": Example(
        [{"prompt": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                    f"<|start_header_id|>user<|end_header_id|>\n\n{P}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
          "chosen": f"{GOOD}<|eot_id|>", "rejected": f"{BAD}<|eot_id|>"}], [pair(BRIEF)]),
    "Gemma strings": Example(
        [{"prompt": f"<bos><start_of_turn>user\n{P}<end_of_turn>\n<start_of_turn>model\n",
          "response": f"{GOOD}<end_of_turn>\n"}], [demonstration()]),
    "no_robots": Example([{"prompt": P, "prompt_id": "1", "messages": [user(), said(GOOD)], "category": "x"}],
                         [demonstration()]),
    "GSM8K": Example([{"question": P, "answer": GOOD}], [demonstration()]),
}  # fmt: skip

TRAINERS = {
    "OpenAI chat, several assistant turns": Example([{"messages": [*LATER, said(GOOD)]}], [demonstration(LATER)]),
    "OpenAI chat, weight": Example(
        [{"messages": [user(), said(GOOD), user(AND), {**said(BAD), "weight": 0}]},
         {"messages": [user(), {**said(BAD), "weight": 0}]}], [demonstration()], MARKED),
    "OpenAI chat, content parts": Example([{"messages": [parts("user", P), parts("assistant", GOOD)]}],
                                          [demonstration()]),
    "OpenAI chat, a picture": Example(
        [{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, said(GOOD)]},
         {"messages": [user(), said(GOOD)]}], [demonstration()], {"not_only_text": 1}),
    "OpenAI chat, developer": Example([{"messages": [{"role": "developer", "content": "Be brief."}, user(),
                                                     said(GOOD)]}],
                                      [demonstration(BRIEF)]),
    "OpenAI chat, tools": Example(
        [{"messages": [user(), said(GOOD)], "tools": [{"type": "function"}]}, {"messages": [user(), said(GOOD)]}],
        [demonstration()], {"tools_are_used": 1}),
    "OpenAI chat, empty system turn": Example([{"messages": [system(""), user(), said(GOOD)]}], [demonstration()]),
    "OpenAI chat, two system turns": Example([{"messages": [system("Be"), system("brief."), user(), said(GOOD)]}],
                                             [demonstration([system("Be\n\nbrief."), user()])]),
    "OpenAI preference": Example(
        [{"input": {"messages": BRIEF, "tools": [], "parallel_tool_calls": True}, "preferred_output": [said(GOOD)],
          "non_preferred_output": [said(BAD)]},
         {"input": {"messages": BRIEF, "tools": [{"type": "function"}]}, "preferred_output": [said(GOOD)],
          "non_preferred_output": [said(BAD)]}], [pair(BRIEF)], {"tools_are_used": 1}),
    "ShareGPT": Example([{"id": "1", "conversations": [human(), gpt(GOOD)]}], [demonstration()]),
    "ShareGPT, system": Example([{"conversations": [human(), gpt(GOOD)], "system": "Be brief."}],
                                [demonstration(BRIEF)]),
    "ShareGPT, function_call": Example(
        [{"conversations": [human(), {"from": "function_call", "value": "{}"}, {"from": "observation", "value": "1"},
                            gpt(GOOD)]}, {"conversations": [human(), gpt(GOOD)]}],
        [demonstration()], {"tools_are_used": 1}),
    "ShareGPT, begins with gpt": Example([{"conversations": [gpt("Hello"), human(), gpt(GOOD)]}], [demonstration()]),
    "LLaMA-Factory Alpaca, history": Example(
        [{"instruction": AND, "input": "", "output": GOOD, "system": "", "history": [[P, FIRST]]}],
        [demonstration(LATER)]),
    "LLaMA-Factory ranking, Alpaca": Example([{"instruction": P, "input": "", "chosen": GOOD, "rejected": BAD}],
                                             [pair()]),
    "LLaMA-Factory ranking, ShareGPT": Example([{"conversations": [human()], "chosen": gpt(GOOD),
                                                 "rejected": gpt(BAD)}],
                                               [pair()]),
    "axolotl chat_template DPO": Example([{"messages": ASKED, "chosen": said(GOOD), "rejected": said(BAD)}], [pair()]),
    "LLaMA-Factory KTO, Alpaca": Example(
        [{"instruction": P, "input": "", "output": text, "kto_tag": tag} for text, tag in [(GOOD, True), (BAD, False)]],
        [demonstration()], MARKED),
    "LLaMA-Factory KTO, ShareGPT": Example(
        [{"conversations": [human(), gpt(text)], "label": tag} for text, tag in [(GOOD, True), (BAD, False)]],
        [demonstration()], MARKED),
    "axolotl ORPO, system": Example([{"system": "Be brief.", "prompt": P, "chosen": [user(), said(GOOD)],
                                      "rejected": [user(), said(BAD)]}], [pair(BRIEF)]),
    "ms-swift rejected_response": Example([{"messages": [*BRIEF, said(GOOD)], "rejected_response": BAD}],
                                          [pair(BRIEF)]),
    "ms-swift rejected_messages": Example([{"messages": [user(), said(GOOD)], "rejected_messages": [user(),
                                                                                                    said(BAD)]}],
                                          [pair()]),
    "ms-swift query, history": Example([{"query": AND, "response": GOOD, "history": [[P, FIRST]]}],
                                       [demonstration(LATER)]),
    "ms-swift query, rejected_response": Example(
        [{"query": AND, "response": GOOD, "rejected_response": BAD, "history": [[P, FIRST]]}], [pair(LATER)]),
    "ms-swift, loss": Example([{"messages": [user(), {**said(BAD), "loss": False}]}, {"messages": [user(),
                                                                                                   said(GOOD)]}],
                              [demonstration()], MARKED),
    "ms-swift, human and assistant": Example([{"conversation": [{"human": P, "assistant": GOOD}]}], [demonstration()]),
    "Gemini contents": Example(
        [{"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
          "contents": [{"role": "user", "parts": [{"text": P}]}, {"role": "model", "parts": [{"text": GOOD}]}]}],
        [demonstration(BRIEF)]),
    "Bedrock": Example([{"schemaVersion": "bedrock-conversation-2024", "system": [{"text": "Be brief."}],
                         "messages": [{"role": "user", "content": [{"text": P}]},
                                      {"role": "assistant", "content": [{"text": GOOD}]}]}], [demonstration(BRIEF)]),
    "NeMo-RL": Example([{"context": ASKED, "completions": [{"rank": 1, "completion": [said(BAD)]},
                                                           {"rank": 0, "completion": [said(GOOD)]}]}], [SECOND]),
    "NeMo-RL beside a prompt": Example(
        [{"prompt": P, "context": ASKED, "completions": [{"rank": 1, "completion": [said(BAD)]},
                                                         {"rank": 0, "completion": [said(GOOD)]}]}], [SECOND]),
    "veRL": Example([{"data_source": "x", "prompt": ASKED, "ability": "math", "reward_model": {"ground_truth": "1"},
                      "extra_info": {"index": 0}}], [prompt()]),
}  # fmt: skip

RANKED = {"prompt": P, "response1": BAD, "response2": GOOD}
ITEMS = [{"id": "a", "body": BAD}, {"id": "b", "body": GOOD}]
TOOLS = {
    "Argilla 1.x ranking": Example(
        [{**RANKED, "preference": [
            {"user_id": "u", "value": {"rank": [2, 1], "value": ["response1", "response2"]}, "status": "submitted"},
            {"user_id": "v", "value": {"rank": [1, 1], "value": ["response1", "response2"]}, "status": "submitted"},
            {"user_id": "w", "value": {"rank": [1, 2], "value": ["response1", "response2"]}, "status": "discarded"}]}],
        [ranked([2, 1], [1, 1])]),
    "Argilla 2.x ranking": Example(
        [{"id": "1", **RANKED, "quality.responses": [["response2", "response1"], ["response1", "response2"]],
          "quality.responses.users": ["u", "v"], "quality.responses.status": ["submitted", "discarded"],
          "quality.suggestion": ["response1", "response2"], "quality.suggestion.agent": "m"}], [SECOND]),
    "Argilla 2.x label": Example(
        [{"id": "1", **RANKED, "better.responses": ["response2", "tie"], "better.responses.users": ["u", "v"],
          "better.responses.status": ["submitted", "submitted"], "note.responses": ["clear"],
          "note.responses.users": ["u"], "note.responses.status": ["submitted"]}], [ranked([2, 1], [1, 1])]),
    "Argilla 2.x records": Example(
        [{"id": "1", "fields": RANKED, "metadata": {}, "suggestions": {}, "vectors": {}, "_server_id": "2",
          "responses": {"quality": [{"value": ["response2", "response1"], "user_id": "u"}]}}], [SECOND]),
    "Argilla 2.x, two rankings": Example(
        [{**RANKED, "a.responses": [["response2", "response1"]], "a.responses.users": ["u"],
          "b.responses": [["response1", "response2"]], "b.responses.users": ["u"]}], use=["comparisons"],
        error="questions a, b each rank the answers; keep the column of one"),
    "Argilla 2.x, other names": Example(
        [{**RANKED, "a.responses": [["left", "right"]], "a.responses.users": ["u"]}], use=["comparisons"],
        error="a ranking of left, right, but the answers stand in response1, response2"),
    "Label Studio, ranker": Example(
        [{"id": 1, "data": {"prompt": P, "items": ITEMS}, "annotations": [
            {"completed_by": 1, "was_cancelled": False, "result": [
                {"from_name": "rank", "type": "ranker", "value": {"ranker": {"rank": ["b", "a"]}}}]},
            {"completed_by": 2, "was_cancelled": True, "result": []}]}], [SECOND]),
    "Label Studio, pairwise": Example(
        [{"id": 1, "data": {"prompt": P, "text1": BAD, "text2": GOOD}, "annotations": [
            {"completed_by": 1, "was_cancelled": False, "result": [
                {"type": "pairwise", "value": {"selected": "right"}}]}]}], [SECOND]),
    "Label Studio, JSON_MIN ranker": Example(
        [{"id": 1, "prompt": P, "items": ITEMS, "rank": [{"ranker": {"rank": ["b", "a"]}}], "annotator": 1,
          "annotation_id": 4, "lead_time": 2.0}], [SECOND]),
    "Label Studio, JSON_MIN pairwise": Example(
        [{"id": 1, "prompt": P, "text1": BAD, "text2": GOOD, "pairwise": [{"selected": "right"}], "annotator": 1}],
        [SECOND]),
}  # fmt: skip

OURS = {
    "scores": Example([{"prompt": P, "responses": [BAD, GOOD], "scores": [1, 9]}], [SECOND]),
    "ranks": Example([{"prompt": P, "responses": [BAD, GOOD], "ranks": [2, 1]}], [SECOND]),
    "an order of three": Example(
        [{"prompt": P, "responses": [FIRST, BAD, GOOD], "ranking": [2, 0, 1]}],
        [ranked([2, 3, 1], responses=[FIRST, BAD, GOOD])], said={"columns": {
            "prompt": "prompt", "responses": "responses", "ranking": "ranking"}},
        error="may be the responses' indices from best to worst, or each response's rank from 0"),
    "ranks from 0 of three": Example(
        [{"prompt": P, "responses": [FIRST, BAD, GOOD], "ranking": [1, 2, 0]}],
        [ranked([2, 3, 1], responses=[FIRST, BAD, GOOD])], said={"columns": {
            "prompt": "prompt", "responses": "responses", "ranks": "ranking"}},
        error="may be the responses' indices from best to worst, or each response's rank from 0"),
    "an empty user": Example([{"user": "", "prompt": P, "response": GOOD}], [demonstration()]),
    "an answer that the prompt begins": Example([{"prompt": [user(), said("[+] Sure,")], "response": "light."}],
                                                [demonstration(response="[+] Sure, light.")]),
}  # fmt: skip

EXAMPLES = {**TRL, **ANTHROPIC, **SUMMARIES, **PUBLIC, **TRAINERS, **TOOLS, **OURS}
