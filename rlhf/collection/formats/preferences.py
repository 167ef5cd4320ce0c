"""Formats of preferences: two answers and which one is better, or several with scores or ranks."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from rlhf.collection.dialogues import ROLES
from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.cells import in_cell
from rlhf.collection.formats.demonstrations import SYSTEMS, contents_of
from rlhf.collection.formats.form import (
    NOT_READ,
    Fields,
    Form,
    Own,
    Read,
    answer,
    answer_in,
    as_number,
    at,
    holds_objects,
    holds_texts,
    index,
    items,
    known_by,
    number,
    objects,
    pair,
    ranked,
    scored,
    side,
    sign,
    text,
)
from rlhf.params.base import shown
from rlhf.records.json_values import is_list

ENDS = re.compile(r"[\s。？！：；，、]")  # where a prompt may end that two answers share


def winner(fields: Fields, column: str = "winner") -> int | None:
    """Return which of two answers a name says that won; None for a tie."""
    return _of_column(column, fields, side)


def better(fields: Fields, column: str, first: int = 0) -> int | None:
    """Return which of two answers a number says that is better, if the first one has number `first`; None: neither."""
    return _of_column(column, fields, lambda value: index(value, first))


def strength(fields: Fields, column: str) -> int | None:
    """Return which of two answers a signed strength prefers: the first below 0, the second above."""
    return _of_column(column, fields, sign)


def _of_column(column: str, fields: Fields, decide: Callable[[Any], int | None]) -> int | None:
    try:
        return decide(fields.get(column))
    except ValueError as error:
        raise ValueError(f"column '{column}': {error}") from None


def conversations(fields: Fields) -> Own:
    """Chatbot Arena and MT-bench: two whole dialogues of one user, and who won."""
    given: Own = {}
    sides = [objects(fields, name) for name in ("conversation_a", "conversation_b")]
    before = [side[:-1] if side and _role(side[-1]) == "assistant" else side for side in sides]
    users = [[answer(turn) for turn in side if _role(turn) == "user"] for side in before]
    if users[0] != users[1]:
        raise Dropped("chosen_and_rejected_answer_different_prompts")
    if len(users[0]) > 1 and before[0] != before[1]:  # each model's own first answer stands before its second
        raise Dropped("dialogues_differ_before_the_last_answer")
    if "judge" in fields:
        given["labeler"] = _named(fields["judge"])
    return {**given, "messages": before[0], **pair(sides[0], sides[1], winner(fields))}


def _role(turn: Mapping[str, Any]) -> str:
    name = str(turn.get("role") or turn.get("from")).lower()
    return ROLES.get(name, name)


def _named(value: Any) -> str:
    if is_list(value):
        return " ".join(str(part) for part in value)
    return str(value)


def arena_rows(fields: Fields) -> Own:
    """WSDM cup: texts; Kaggle's LMSYS: lists of the turns of each side, as JSON in a cell."""
    if "winner" in fields:
        better = winner(fields)
    else:
        flags = [as_number(fields.get(name)) for name in ("winner_model_a", "winner_model_b", "winner_tie")]
        if sorted(flag or 0.0 for flag in flags) != [0.0, 0.0, 1.0]:
            raise ValueError(f"columns winner_model_a, winner_model_b, winner_tie: expected one 1, got {shown(flags)}")
        better = {0: 0, 1: 1, 2: None}[flags.index(1.0)]
    prompts, first, second = (_turns(fields, name) for name in ("prompt", "response_a", "response_b"))
    if not len(prompts) == len(first) == len(second) > 0:
        raise Dropped("sides_of_different_numbers_of_turns")
    if len(prompts) > 1 and first[:-1] != second[:-1]:
        raise Dropped("dialogues_differ_before_the_last_answer")
    messages = [{"role": "user", "content": prompts[0]}]
    for said, asked in zip(first, prompts[1:], strict=False):
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": asked}]
    return {"messages": messages, **pair(first[-1], second[-1], better)}


def _turns(fields: Fields, column: str) -> list[str]:
    value = fields.get(column)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = in_cell(value)
    found = value if is_list(value) else [value]
    if any(one is None for one in found):
        raise Dropped("no_answer")
    return [answer(one) for one in found]


def ultrafeedback(fields: Fields) -> Own:
    done = objects(fields, "completions")
    if not done:
        raise Dropped("no_answer")
    return {
        "prompt": text(fields, "instruction"),
        **scored([one.get("response") for one in done], [one.get("overall_score") for one in done]),
    }


def nectar(fields: Fields) -> Own:
    done = objects(fields, "answers")
    return {
        "prompt": fields["prompt"],
        **ranked([one.get("answer") for one in done], [one.get("rank") for one in done]),
    }


def nemo(fields: Fields) -> Own:
    done = objects(fields, "completions")
    return {
        "messages": fields["context"],
        **ranked([one.get("completion") for one in done], [one.get("rank") for one in done]),
    }


def post(fields: Fields) -> str:
    """Return a post of OpenAI's summaries as a prompt: it is asked for its summary, as their policies were."""
    parts = [at(fields, "info", name) for name in ("title", "post", "article")]
    return "\n\n".join([*(str(part) for part in parts if part), "TL;DR:"])


def summaries(fields: Fields) -> Own:
    """OpenAI's summaries with human feedback."""
    done = objects(fields, "summaries")
    if len(done) != 2:
        raise ValueError(f"column 'summaries': expected two, got {len(done)}")
    labeler = {"labeler": str(fields["worker"])} if fields.get("worker") is not None else {}
    return {**labeler, "prompt": post(fields), **pair(done[0], done[1], better(fields, "choice"))}


def webgpt(fields: Fields) -> Own:
    scores = [number(fields, name) for name in ("score_0", "score_1")]
    return {
        "prompt": text(fields, "question", "full_text"),
        "responses": [text(fields, name) for name in ("answer_0", "answer_1")],
        "scores": scores,
    }


def shp(fields: Fields) -> Own:
    first, second = answer_in(fields, "human_ref_B"), answer_in(fields, "human_ref_A")
    return {"prompt": text(fields, "history"), **pair(first, second, better(fields, "labels"))}


def openai(fields: Fields) -> Own:
    better, worse = (answer_in(fields, name) for name in ("preferred_output", "non_preferred_output"))
    if at(fields, "input", "tools"):
        raise Dropped("tools_are_used")
    return {"messages": at(fields, "input", "messages"), **pair(better, worse, 0)}


def ms_swift(fields: Fields) -> Own:
    """The last turn of `messages` is the better answer."""
    given = objects(fields, "messages")
    worse = fields.get("rejected_response") or fields.get("rejected_messages")
    if not given or _role(given[-1]) != "assistant":
        raise Dropped("no_answer")
    return {"messages": given[:-1], **pair(given[-1], worse, 0)}


def of_two(prompt: str, first: str, second: str) -> Read:
    """Return a reader of two columns of answers, of which the first is better."""
    return lambda fields: {**_asked(fields, prompt), **pair(answer_in(fields, first), answer_in(fields, second), 0)}


def between(prompt: str, first: str, second: str, better: Callable[[Fields], int | None]) -> Read:
    """Return a reader of two columns of answers and what decides between them."""

    def read(fields: Fields) -> Own:
        answers = answer_in(fields, first), answer_in(fields, second)
        return {**_asked(fields, prompt), **pair(*answers, better(fields))}

    return read


def _asked(fields: Fields, column: str) -> Own:
    """Return prompt, or messages where it is a list, with what stands before or behind it in columns of its own."""
    value = fields.get(column)
    own: Own = {"messages": value} if is_list(value) else {"prompt": value}
    return own | {name: fields[name] for name in ("input", "history") if fields.get(name) and column != name}


def stack_exchange(fields: Fields) -> Own:
    done = objects(fields, "answers")
    return {
        "prompt": text(fields, "question"),
        **scored([one.get("text") for one in done], [one.get("pm_score") for one in done]),
    }


def distilabel(fields: Fields) -> Own:
    name = "instruction" if "instruction" in fields else "input"
    return {"prompt": text(fields, name), **scored(items(fields, "generations"), items(fields, "ratings"))}


def orca_pairs(fields: Fields) -> Own:
    better = None if str(fields.get("status")).lower() == "tie" else 0
    return {"prompt": text(fields, "input"), **pair(answer_in(fields, "chosen"), answer_in(fields, "rejected"), better)}


def rewardbench2(fields: Fields) -> Own:
    better, worse = items(fields, "chosen"), items(fields, "rejected")
    ranks = [1] * len(better) + [2] * len(worse)
    return {"prompt": fields["prompt"], "responses": [answer(one) for one in [*better, *worse]], "ranks": ranks}


def alpaca_farm(fields: Fields) -> Own:
    """AlpacaFarm's 1 or 2; AlpacaEval's weighted preferences lie between them, 1.5 and 0 are ties."""
    value = as_number(fields.get("preference"))
    if value is None or not (value == 0 or 1 <= value <= 2):
        raise ValueError(f"column 'preference': expected 0 or 1 to 2, got {shown(fields.get('preference'))}")
    preferred = None if value in (0, 1.5) else int(value > 1.5)
    return {
        "instruction": text(fields, "instruction"),
        "input": fields.get("input"),
        **pair(answer_in(fields, "output_1"), answer_in(fields, "output_2"), preferred),
    }


def gemini_pairs(fields: Fields) -> Own:
    """Vertex AI's preference tuning: the scores of two completions are 0 and 1."""
    done = objects(fields, "completions")
    return {
        "messages": contents_of(fields),
        **scored([one.get("completion") for one in done], [one.get("score") for one in done]),
    }


def shared_beginning(fields: Fields) -> Own:
    """TRL's preferences with an implicit prompt: what both texts begin with, up to a word's or a sentence's end."""
    better, worse = text(fields, "chosen"), text(fields, "rejected")
    shared = os.path.commonprefix([better, worse])
    ends = [end.end() for end in ENDS.finditer(shared)]
    if len(shared) in (len(better), len(worse)) or not ends or not shared[: ends[-1]].strip():
        raise Dropped("no_shared_beginning")
    return {"prompt": shared[: ends[-1]].strip(), **pair(better[ends[-1] :].strip(), worse[ends[-1] :].strip(), 0)}


def never(_: Fields) -> bool:
    """A format that only params.yaml can name."""
    return False


FORMS = (
    Form("UltraFeedback", "completions' overall_score, higher is better", "openbmb/UltraFeedback card",
         known_by("instruction", "completions"), ultrafeedback, holds_objects("completions", "overall_score")),
    Form("Nectar", "answers' rank, 1 is best", "berkeley-nest/Nectar card", known_by("prompt", "answers"), nectar,
         holds_objects("answers", "rank")),
    Form("HelpSteer2 preference", "preference_strength -3..3: below 0 response_1 is better, 0 is a tie",
         "nvidia/HelpSteer2 card, preference",
         known_by("prompt", "response_1", "response_2", "preference_strength"),
         between("prompt", "response_1", "response_2", lambda fields: strength(fields, "preference_strength"))),
    Form("HelpSteer3 preference", "overall_preference -3..3: below 0 response1 is better, 0 is a tie",
         "NeMo-RL's helpsteer3.py", known_by("context", "response1", "response2", "overall_preference"),
         between("context", "response1", "response2", lambda fields: strength(fields, "overall_preference"))),
    Form("PKU-SafeRLHF", "better_response_id, the index of the better response",
         "PKU-Alignment/PKU-SafeRLHF card and safe-rlhf's code",
         known_by("prompt", "response_0", "response_1", "better_response_id"),
         between("prompt", "response_0", "response_1", lambda fields: better(fields, "better_response_id"))),
    Form("SHP", "labels: 1 if human_ref_A is preferred, 0 if human_ref_B is", "stanfordnlp/SHP card",
         known_by("history", "human_ref_A", "human_ref_B", "labels"), shp),
    Form("WebGPT comparisons", "score_0 and score_1, higher is better, equal ones a tie",
         "openai/webgpt_comparisons card", known_by("question", "answer_0", "answer_1", "score_0", "score_1"), webgpt),
    Form("summarize_from_feedback comparisons", "choice, the index of the better summary; one labeler a row",
         "openai/summarize-from-feedback README, 065ea4e", known_by("info", "summaries", "choice"), summaries,
         also=known_by("worker")),
    Form("TL;DR, preprocessed", "choice, the index of the better response",
         "vwxyzjn's summarize_from_feedback sets on the hub",
         known_by("query", "response0", "response1", "choice"),
         between("query", "response0", "response1", lambda fields: better(fields, "choice"))),
    Form("Chatbot Arena, MT-bench", "winner: model_a, model_b or a tie; one judge a row",
         "lmsys/chatbot_arena_conversations and mt_bench_human_judgments cards, eee87ec",
         known_by("conversation_a", "conversation_b", "winner"), conversations, also=known_by("judge")),
    Form("WSDM cup", "winner: model_a, model_b or a tie", "Kaggle, WSDM cup: README",
         known_by("prompt", "response_a", "response_b", "winner"), arena_rows),
    Form("Kaggle LMSYS", "winner_model_a, winner_model_b, winner_tie: one of them is 1",
         "Kaggle, LMSYS human preferences; lmarena-ai/arena-human-preference-55k card, 18c2983",
         known_by("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"), arena_rows),
    Form("UltraFeedback, cleaned by Argilla", "chosen_response before rejected_response",
         "argilla/ultrafeedback-binarized-preferences on the hub",
         known_by("instruction", "chosen_response", "rejected_response"),
         of_two("instruction", "chosen_response", "rejected_response")),
    Form("distilabel generations", "ratings, higher is better; answers without one are left out", "distilabel's docs",
         known_by("generations", "ratings"), distilabel, also=known_by("instruction", "input")),
    Form("distilabel Intel orca pairs", "chosen before rejected, unless status is tie",
         "argilla/distilabel-intel-orca-dpo-pairs card", known_by("input", "chosen", "rejected", "status"), orca_pairs),
    Form("UltraInteract pairs", "chosen before rejected, behind the turns of trajectory",
         "openbmb/UltraInteract_pair on the hub",
         known_by("trajectory", "chosen", "rejected"), of_two("trajectory", "chosen", "rejected")),
    Form("ms-swift rejected_response", "the last turn of messages before rejected_response",
         "ms-swift's Custom-dataset.md, 3602360", known_by("messages", "rejected_response"), ms_swift),
    Form("ms-swift rejected_messages", "the last turn of messages before that of rejected_messages",
         "ms-swift's Custom-dataset.md, 3602360", known_by("messages", "rejected_messages"), ms_swift),
    Form("ms-swift query", "response before rejected_response", "ms-swift's Custom-dataset.md, 3602360",
         known_by("query", "response", "rejected_response"),
         of_two("query", "response", "rejected_response"), also=known_by("history", "input")),
    Form("OpenAI preference", "preferred_output before non_preferred_output", "developers.openai.com, DPO guide",
         known_by("input", "preferred_output", "non_preferred_output"), openai),
    Form("Gemini preferences", "completions' score: 1 is preferred, 0 is not",
         "docs.cloud.google.com, Vertex AI's preference tuning data", known_by("contents", "completions"), gemini_pairs,
         holds_objects("completions", "score"), also=SYSTEMS),
    Form("AlpacaFarm", "preference: 1 or 2, the number of the better output; between them: nearer to it; "
         "1.5 and 0 a tie", "alpaca_farm's code (1 and 2); of those between, schema not read from a card",
         known_by("instruction", "output_1", "output_2", "preference"), alpaca_farm, also=known_by("input")),
    Form("stack-exchange-paired", "response_j before response_k", "trl's stack_llama code",
         known_by("question", "response_j", "response_k"), of_two("question", "response_j", "response_k")),
    Form("H4 stack-exchange", "answers' pm_score, higher is better",
         "HuggingFaceH4/stack-exchange-preferences on the hub",
         known_by("question", "answers"), stack_exchange, holds_objects("answers", "pm_score")),
    Form("CValues", "pos_resp before neg_resp", "mxz/CValues card, b983d89", known_by("prompt", "pos_resp", "neg_resp"),
         of_two("prompt", "pos_resp", "neg_resp")),
    Form("DPO-En-Zh", "response_chosen before response_rejected", "shibing624/DPO-En-Zh-20k-Preference on the hub",
         known_by("question", "response_chosen", "response_rejected"),
         of_two("question", "response_chosen", "response_rejected"), also=known_by("history")),
    Form("hh_rlhf_cn", "chosen before rejected", NOT_READ, known_by("context", "chosen", "rejected"),
         of_two("context", "chosen", "rejected"), holds_objects("context")),
    Form("NeMo-RL", "completions' rank, 0 is best", "docs.nvidia.com, NeMo-RL", known_by("context", "completions"),
         nemo, holds_objects("completions", "rank")),
    Form("RewardBench 2", "chosen answers before rejected ones", NOT_READ, known_by("prompt", "chosen", "rejected"),
         rewardbench2, holds_texts("chosen")),
    Form("TRL implicit prompt", "chosen before rejected; what both begin with is the prompt",
         "TRL's docs/source/dataset_formats.md, f2cd577", known_by("chosen", "rejected"), shared_beginning, never),
)  # fmt: skip
