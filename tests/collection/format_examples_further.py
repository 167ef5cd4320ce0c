"""Further layouts that people meet: public sets, trainers' and services' files, and exports of labelling tools.

Their schemas are as the field writes them; of most no card was read, so what stands here is that none of them is taken
for something else without a word.
"""

import json

from tests.collection.format_examples import (
    AND,
    BAD,
    BRIEF,
    FIRST,
    GOOD,
    LATER,
    MARKED,
    SECOND,
    TIE,
    Example,
    P,
    demonstration,
    gpt,
    human,
    pair,
    parts,
    prompt,
    ranked,
    said,
    system,
    user,
)

MODEL = [{"role": "user", "parts": [{"text": P}]}, {"role": "model", "parts": [{"text": GOOD}]}]

STEPS = {
    "PRM800K": Example(
        [{"labeler": "x", "question": {"problem": P, "ground_truth_answer": "1"},
          "label": {"steps": [{"completions": [{"text": "a", "rating": 1}]}], "finish_reason": "solution"}}],
        use=["demonstrations"], error="labels are of steps of one answer"),
    "Math-Shepherd": Example([{"input": f"{P} Step 1: x ки Step 2: y ки", "label": f"{P} Step 1: x + Step 2: y -",
                               "task": "GSM8K"}], use=["prompts"], error="labels are of steps of one answer"),
    "RLHFlow PRM": Example(
        [{"conversations": [user(f"{P} Step 1"), said("+"), user("Step 2"), said("-")]}], use=["demonstrations"],
        error="labels are of steps of one answer"),
}  # fmt: skip

JUDGED = {
    "WildGuardMix": Example(
        [{"prompt": P, "adversarial": False, "response": text, "prompt_harm_label": "unharmful",
          "response_harm_label": label, "response_refusal_label": "compliance"}
         for text, label in [(GOOD, "unharmful"), (BAD, "harmful"), (BAD, None)]],
        [demonstration()], {**MARKED, "not_judged": 1}),
    "WildGuardMix, prompts": Example([{"prompt": P, "response": GOOD, "response_harm_label": "unharmful"},
                                      {"prompt": P, "response": None, "response_harm_label": None}],
                                     [demonstration(), prompt()]),
    "Prodigy": Example(
        [{"prompt": P, "response": text, "answer": answer, "_input_hash": 1, "_task_hash": 2}
         for text, answer in [(GOOD, "accept"), (BAD, "reject"), (BAD, "ignore")]],
        [demonstration()], {**MARKED, "not_judged": 1}),
    "axolotl KTO, chatml.argilla": Example(
        [{"system": "Be brief.", "instruction": P, "completion": text, "label": label}
         for text, label in [(GOOD, True), (BAD, False)]], [demonstration(BRIEF)], MARKED),
    "answers with is_correct": Example(
        [{"question": P, "output": text, "is_correct": right} for text, right in [(GOOD, True), (BAD, False)]],
        [demonstration()], MARKED),
    "answers with is_good": Example(
        [{"messages": [user(), said(text)], "is_good": good} for text, good in [(GOOD, 1), (BAD, 0)]],
        [demonstration()], MARKED),
    "answers with accepted": Example(
        [{"question": P, "answer": text, "accepted": good} for text, good in [(GOOD, "yes"), (BAD, "no")]],
        [demonstration()], MARKED),
    "ToxicChat": Example(
        [{"conv_id": "1", "user_input": P, "model_output": GOOD, "toxicity": 0, "jailbreaking": 0}], [demonstration()],
        said={"columns": {"prompt": "user_input", "response": "model_output"}},
        error="no usual columns among: conv_id"),
    "Do-Not-Answer": Example(
        [{"id": 1, "question": P, "GPT4_response": GOOD, "GPT4_harmful": 0}], [demonstration()],
        said={"columns": {"prompt": "question", "response": "GPT4_response"}},
        error="Columns that nobody read: GPT4_response"),
}  # fmt: skip

PREFERRED = {
    "Gemini preferences": Example(
        [{"system_instruction": {"parts": [{"text": "Be brief."}]}, "contents": MODEL[:1], "completions": [
            {"score": 0, "completion": {"role": "model", "parts": [{"text": BAD}]}},
            {"score": 1, "completion": {"role": "model", "parts": [{"text": GOOD}]}}]}],
        [ranked([2, 1], messages=BRIEF)]),
    "PKU-SafeRLHF, second": Example(
        [{"prompt": P, "prompt_source": "x", "response_0": BAD, "response_0_source": "x", "response_1": GOOD,
          "response_1_source": "y", "is_response_0_safe": False, "response_0_severity_level": 2,
          "better_response_id": 1, "safer_response_id": 1, "response_0_sha256": "z"}], [SECOND]),
    "OpenHermes preferences": Example(
        [{"source": "x", "category": "y", "prompt": P, "candidates_completions": [BAD, GOOD, "x"],
          "candidate_policies": ["a", "b", "c"], "ranks": [2, 1, 3], "rank_str": "x", "chosen_policy": "b",
          "chosen": [user(), said(GOOD)], "rejected_policy": "a", "rejected": [user(), said(BAD)]}], [pair()]),
    "Infinity-Preference": Example([{"id": 1, "instruction": P, "chosen": [user(), said(GOOD)],
                                     "rejected": [user(), said(BAD)], "task_category": "x"}], [pair()]),
    "Tulu 3 preference mixture": Example(
        [{"id": "1", "source": "x", "prompt": P, "chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)],
          "chosen_model": "m", "rejected_model": "n"}], [pair()]),
    "Magpie DPO": Example([{"id": "1", "instruction": P, "gen_input_configs": {}, "chosen": [user(), said(GOOD)],
                            "rejected": [user(), said(BAD)]}], [pair()]),
    "Snorkel and princeton-nlp": Example(
        [{"prompt_id": "1", "prompt": P, "all_generated_responses": [BAD, GOOD], "all_rm_scores": [0.1, 0.9],
          "chosen": [user(), said(GOOD)], "rejected": [user(), said(BAD)]}], [pair()]),
    "orpo-dpo-mix-40k": Example([{"source": "x", "prompt": P, "question": P, "chosen": [user(), said(GOOD)],
                                  "rejected": [user(), said(BAD)]}], [pair()]),
    "OpenRLHF, context_messages": Example(
        [{"context_messages": [user()], "chosen": [said(GOOD)], "rejected": [said(BAD)]}], [pair()],
        said={"columns": {"messages": "context_messages", "chosen": "chosen", "rejected": "rejected"}},
        error="Columns that nobody read: context_messages"),
    "Colossal-AI": Example([{"context": [{"from": "human", "content": P}], "chosen": [{"from": "assistant",
                                                                                       "content": GOOD}],
                             "rejected": [{"from": "assistant", "content": BAD}]}], [pair()]),
    "Code-Preference-Pairs": Example(
        [{"input": P, "accepted": GOOD, "rejected": BAD}], [pair()],
        said={"columns": {"prompt": "input", "chosen": "accepted", "rejected": "rejected"}},
        error="a comparison without a chosen answer"),
    "Surge, a table": Example(
        [{"Prompt": P, "Response A": BAD, "Response B": GOOD, "Preference": which}
         for which in ("Response B", "Tie", "Response A")], [SECOND, TIE, ranked([1, 2])],
        said={"columns": {"prompt": "Prompt", "first": "Response A", "second": "Response B", "winner": "Preference"}},
        error="no usual columns among: Prompt, Response A"),
    "Scale, two candidates": Example(
        [{"task_id": "1", "params": {"prompt": P, "candidates": [{"text": BAD}, {"text": GOOD}]},
          "response": {"ranks": [2, 1]}}], [SECOND],
        said={"columns": {"prompt": "params.prompt", "responses": "params.candidates[].text",
                          "ranks": "response.ranks"}},
        error="no usual columns among: task_id"),
    "Labelbox NDJSON": Example(
        [{"data_row": {"id": "1", "row_data": P}, "projects": {"x": {"labels": [{"annotations": {}}]}}}],
        error="no usual columns among: data_row"),
    "PandaLM": Example([{"instruction": P, "input": "", "response1": BAD, "response2": GOOD, "annotator1": "2"}],
                       [SECOND],
                       said={"columns": {"prompt": "instruction", "first": "response1", "second": "response2",
                                         "winner": "annotator1"}},
                                         error="Columns that nobody read: response1, response2"),
    "AlpacaEval, weighted": Example(
        [{"instruction": P, "output_1": BAD, "generator_1": "m", "output_2": GOOD, "generator_2": "n",
          "annotator": "x", "preference": number} for number in (1.98, 1.02)], [SECOND, ranked([1, 2])]),
    "model-written evals": Example(
        [{"question": P, "answer_matching_behavior": " (A)", "answer_not_matching_behavior": " (B)"}],
        use=["comparisons"], error="answer_matching_behavior, answer_not_matching_behavior"),
    "alpaca_model_preference": Example(
        [{"instruction": P, "output_1": BAD, "output_2": GOOD, "gpt4_preferred_output": "output_2"}],
        use=["comparisons"], error="Columns that nobody read: output_1, output_2, gpt4_preferred_output"),
    "two candidates with scores": Example(
        [{"prompt": P, "candidate0": [said(BAD)], "candidate1": [said(GOOD)], "candidate0_score": 1.0,
          "candidate1_score": 9.0}], use=["comparisons"], error="candidate0_score, candidate1_score"),
}  # fmt: skip

TAUGHT = {
    "SteerLM": Example(
        [{"system": "Be brief.", "mask": "User", "type": "VALUE_TO_TEXT", "conversations": [
            {"from": "User", "value": P, "label": None}, {"from": "Assistant", "value": GOOD, "label": "quality:4"}]}],
        [demonstration(BRIEF)]),
    "Magpie": Example([{"uuid": "1", "instruction": P, "response": GOOD, "conversations": [human(), gpt(GOOD)],
                        "reward": 1.0}], [demonstration()]),
    "SlimOrca": Example([{"conversations": [{"from": "system", "value": "Be brief.", "weight": None},
                                            {**human(), "weight": 0.0}, {**gpt(GOOD), "weight": 1.0}]}],
                        [demonstration(BRIEF)]),
    "OpenHermes 2.5": Example([{"system_prompt": None, "conversations": [{**human(), "weight": None},
                                {**gpt(GOOD), "weight": None}], "skip_prompt_formatting": False}], [demonstration()]),
    "ultrachat_200k": Example([{"prompt": P, "prompt_id": "1", "messages": [user(), said(GOOD)]}], [demonstration()]),
    "ultrachat": Example([{"id": "1", "data": [P, FIRST, AND, GOOD]}], [demonstration(LATER)],
                         said={"columns": {"messages": "data"}}, error="no usual columns among: id, data"),
    "Hermes function calling": Example(
        [{"id": "1", "conversations": [human(), gpt("<tool_call>{}</tool_call>")], "tools": "[{\"name\": \"f\"}]"},
         {"id": "2", "conversations": [human(), gpt(GOOD)], "tools": "[]"}], [demonstration()], {"tools_are_used": 1}),
    "xLAM function calling": Example(
        [{"id": 1, "query": P, "answers": json.dumps([{"name": "f"}]), "tools": json.dumps([{"name": "f"}])}],
        use=["prompts"], error="dropped as tools_are_used 1. Turns of tools are not learned here"),
    "Glaive function calling": Example([{"system": "SYSTEM: x", "chat": f"USER: {P}\n\nASSISTANT: {GOOD}"}],
                                       use=["demonstrations"], error="no usual columns among: system, chat"),
    "OpenAI evals": Example([{"input": [user()], "ideal": GOOD}], [demonstration()],
                            said={"columns": {"messages": "input", "response": "ideal"}},
                            error="no usual columns among: input, ideal"),
    "Nemotron post-training": Example([{"input": [user()], "output": GOOD, "category": "x",
                                        "system_prompt": "Be brief."}],
                                      [demonstration(BRIEF)], error="no usual columns among: input, output", said={
                                          "columns": {"messages": "input", "response": "output",
                                                      "system": "system_prompt"}}),
    "Vertex, input_text": Example([{"input_text": P, "output_text": GOOD}], [demonstration()],
                                  said={"columns": {"prompt": "input_text", "response": "output_text"}},
                                  error="no usual columns among: input_text, output_text"),
    "Cohere": Example([{"messages": [{"role": "System", "content": "Be brief."}, {"role": "User", "content": P},
                                     {"role": "Chatbot", "content": GOOD}]}], [demonstration(BRIEF)]),
    "Mistral": Example([{"messages": [user(), {**said(BAD), "weight": 0}, user(AND), {**said(GOOD), "weight": 1}]}],
                       [demonstration([user(), said(BAD), user(AND)])]),
    "Anthropic message batches": Example(
        [{"custom_id": "1", "params": {"model": "m", "max_tokens": 9, "system": "Be brief.", "messages": [user()]}}],
        [prompt(BRIEF)], said={"columns": {"messages": "params.messages", "system": "params.system"}},
        error="no usual columns among: custom_id, params"),
    "Anthropic, parts": Example([{"system": [{"type": "text", "text": "Be brief."}],
                                  "messages": [parts("user", P), parts("assistant", GOOD)]}], [demonstration(BRIEF)]),
    "Anthropic, tool_use": Example(
        [{"messages": [user(), {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}]},
         {"messages": [user(), said(GOOD)]}], [demonstration()], {"tools_are_used": 1}),
    "LLaMA-Factory mllm": Example(
        [{"messages": [user("<image>Who?"), said(GOOD)], "images": ["a.jpg"]},
         {"messages": [user(), said(GOOD)], "images": []}], [demonstration()], {"not_only_text": 1}),
    "LLaVA": Example([{"id": "1", "image": "a.jpg", "conversations": [human("<image>\nWho?"), gpt(GOOD)]},
                      {"id": "2", "conversations": [human(), gpt(GOOD)]}], [demonstration()], {"not_only_text": 1}),
    "Bedrock, a picture": Example(
        [{"messages": [{"role": "user", "content": [{"image": {"format": "png"}}, {"text": P}]}, said(GOOD)]},
         {"messages": [user(), said(GOOD)]}], [demonstration()], {"not_only_text": 1}),
    "Gemini, a function call": Example(
        [{"contents": [MODEL[0], {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]}, {"contents": MODEL}],
        [demonstration()], {"tools_are_used": 1}),
    "axolotl input_output": Example([{"segments": [{"label": False, "text": P}, {"label": True, "text": GOOD}]}],
                                    use=["demonstrations"], error="no usual columns among: segments"),
    "Llama 2 strings": Example([{"text": f"<s>[INST] {P} [/INST] {GOOD} </s>"}], use=["demonstrations"],
                               error="add documents to use"),
    "Doccano": Example([{"id": 1, "text": P, "label": [GOOD]}], use=["demonstrations"],
                       error="Columns that nobody read: label"),
    "RLVR": Example([{"messages": [user()], "ground_truth": "18", "dataset": "gsm8k"}], [prompt()]),
    "MATH": Example([{"problem": P, "solution": GOOD, "level": "x"}], [demonstration()],
                    said={"columns": {"prompt": "problem", "response": "solution"}},
                    error="no usual columns among: problem, solution"),
    "NuminaMath": Example([{"source": "x", "problem": P, "solution": GOOD, "messages": [user(), said(GOOD)]}],
                          [demonstration()]),
    "RLHFlow prompts": Example([{"context_messages": [system("Be brief."), user()]}], [prompt(BRIEF)],
                               said={"columns": {"messages": "context_messages"}},
                               error="no usual columns among: context_messages"),
    "SODA": Example([{"dialogue": [P, GOOD], "speakers": ["a", "b"], "narrative": "x"}], [demonstration()],
                    said={"columns": {"messages": "dialogue"}}, error="no usual columns among: dialogue"),
}  # fmt: skip

FURTHER = {**STEPS, **JUDGED, **PREFERRED, **TAUGHT}
