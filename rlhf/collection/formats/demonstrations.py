"""Formats of answers to imitate, and of answers that were called good or bad: the bad ones are no demonstrations."""

import re
from collections.abc import Callable

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.form import (
    NOT_READ,
    Fields,
    Form,
    Own,
    Read,
    answer_in,
    good_or_bad,
    holds_objects,
    holds_texts,
    is_flag,
    items,
    known_by,
    text,
)
from rlhf.params.base import shown
from rlhf.records.json_values import is_list, is_object

SPEAKER = re.compile(r"### (Human|Assistant):")
ASKED = known_by("prompt", "instruction", "question", "query", "input")
SAID = known_by("response", "completion", "output", "answer")
DIALOGUES = known_by("messages", "conversations", "conversation")
FLAGS = {  # columns that call an answer good (true) or bad, and where that was read
    "label": "TRL's docs/source/dataset_formats.md, f2cd577: true is preferred",
    "kto_tag": "LLaMA-Factory's data/README.md, ff6d4d1",
    "is_safe": "PKU-Alignment/BeaverTails card",
    **dict.fromkeys(["is_correct", "is_good", "accepted"], NOT_READ),
}
SYSTEMS = known_by("systemInstruction", "system_instruction")
PRODIGY = {"accept": True, "reject": False}
HARM = {"unharmful": True, "harmful": False}


def flagged(column: str) -> Read:
    """Return a reader of one answer that `column` calls good or bad."""

    def read(fields: Fields) -> Own:
        if not good_or_bad(fields.get(column), f"column '{column}'"):
            raise Dropped("answer_marked_bad")
        return {name: value for name, value in fields.items() if name not in (column, "category")} | _category(fields)

    return read


def _category(fields: Fields) -> Own:
    """Return BeaverTails' category, an object of flags, as the names of those that are set."""
    value = fields.get("category")
    if is_object(value):
        return {"category": ", ".join(name for name, is_set in value.items() if is_set) or "unknown"}
    return {} if value is None else {"category": value}


def _is_flagged(column: str) -> Callable[[Fields], bool]:
    def is_it(fields: Fields) -> bool:
        return _has_answer(fields) and is_flag(fields.get(column))

    return is_it


def _has_answer(fields: Fields) -> bool:
    held = {name for name, value in fields.items() if value is not None}
    return bool(held & DIALOGUES or (held & ASKED and held & SAID))


def renamed(prompt: str, response: str) -> Read:
    """Return a reader of a prompt and an answer under other names."""
    return lambda fields: {"prompt": fields[prompt], "response": answer_in(fields, response)}


def prodigy(fields: Fields) -> Own:
    """Prodigy's decision on an answer; ignored ones are none."""
    decision = fields.get("answer")
    if decision == "ignore":
        raise Dropped("not_judged")
    if decision not in PRODIGY:
        raise ValueError(f"column 'answer': expected accept, reject or ignore, got {shown(decision)}")
    if not PRODIGY[decision]:
        raise Dropped("answer_marked_bad")
    return {name: value for name, value in fields.items() if name != "answer"}


def _is_prodigy(fields: Fields) -> bool:
    said = any(fields.get(name) is not None for name in SAID - {"answer"} | DIALOGUES)
    return said and fields.get("answer") in (*PRODIGY, "ignore")


def wildguard(fields: Fields) -> Own:
    """WildGuardMix: an answer, or none, and whether it does harm."""
    if fields.get("response") is not None:
        label = fields.get("response_harm_label")
        if label is None:
            raise Dropped("not_judged")
        if label not in HARM:
            raise ValueError(f"column 'response_harm_label': expected harmful or unharmful, got {shown(label)}")
        if not HARM[label]:
            raise Dropped("answer_marked_bad")
    return {name: fields[name] for name in ("prompt", "response") if fields.get(name) is not None}


def stepwise(_: Fields) -> Own:
    raise ValueError("its labels are of steps of one answer, which nothing here learns from; leave this source out")


def _is_of_steps(fields: Fields) -> bool:
    labels = fields.get("labels")
    return is_list(labels) and bool(labels) and isinstance(labels[0], bool)


def _is_prm800k(fields: Fields) -> bool:
    label = fields.get("label")
    return is_object(label) and "steps" in label


def _is_math_shepherd(fields: Fields) -> bool:
    solution = fields.get("input")
    return isinstance(solution, str) and "ки" in solution


def _is_rlhflow(fields: Fields) -> bool:
    turns = fields.get("conversations")
    if not is_list(turns) or not all(is_object(turn) for turn in turns):
        return False
    said = [turn.get("content") for turn in turns if turn.get("role") == "assistant"]
    return bool(said) and all(one in ("+", "-") for one in said)


def turns_of_texts(fields: Fields) -> Own:
    """LIMA: a list of texts, the user's first."""
    said = items(fields, "conversations")
    return {"messages": [{"role": ("user", "assistant")[index % 2], "content": one} for index, one in enumerate(said)]}


def steerlm(fields: Fields) -> Own:
    return {"system": fields.get("system") or None, "messages": fields["conversations"]}


def gemini(fields: Fields) -> Own:
    return {"messages": contents_of(fields)}


def contents_of(fields: Fields) -> list[object]:
    """Return Gemini's turns, with the system's, which stands in a column of its own."""
    system = next((fields[name] for name in sorted(SYSTEMS) if fields.get(name)), None)
    if system is None:
        return items(fields, "contents")
    if not is_object(system) or not is_list(system.get("parts")):
        raise ValueError(f"column 'system_instruction': expected an object with parts, got {shown(system)}")
    return [{"role": "system", "parts": system["parts"]}, *items(fields, "contents")]


def guanaco(fields: Fields) -> Own:
    """Turns in one text, each behind "### Human:" or "### Assistant:"."""
    pieces = SPEAKER.split(text(fields, "text"))[1:]
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    return {"messages": [{"role": speaker, "content": said.strip()} for speaker, said in turns]}


def _is_guanaco(fields: Fields) -> bool:
    return isinstance(fields.get("text"), str) and fields["text"].lstrip().startswith("### Human:")


FORMS = (
    *(Form(f"answers with {flag}", f"{flag}: true is a good answer; the others are no demonstrations", source,
           known_by(flag), flagged(flag), _is_flagged(flag), ASKED | SAID | DIALOGUES | known_by("history", "category"),
           beside="an answer to a prompt, or a dialogue") for flag, source in FLAGS.items()),
    Form("Prodigy", "answer: accept is a good answer, reject is none, ignore is left out", NOT_READ,
         known_by("answer", "_task_hash"), prodigy, _is_prodigy, ASKED | SAID | DIALOGUES, beside="another answer"),
    Form("WildGuardMix", "response_harm_label: unharmful is a good answer, harmful is none",
         "allenai/wildguardmix card, d29c47f", known_by("prompt", "response", "response_harm_label"), wildguard),
    Form("stepwise supervision", "refused", "TRL's docs/source/dataset_formats.md, f2cd577",
         known_by("prompt", "completions", "labels"), stepwise, _is_of_steps, beside="labels of true and false"),
    Form("PRM800K", "refused", "openai/prm800k README, 00811d6", known_by("question", "label"), stepwise, _is_prm800k,
         beside="steps within label"),
    Form("Math-Shepherd", "refused", NOT_READ, known_by("input", "label", "task"), stepwise, _is_math_shepherd,
         beside="the step mark in input"),
    Form("RLHFlow PRM", "refused", NOT_READ, known_by("conversations"), stepwise, _is_rlhflow,
         beside="an assistant who says + or - alone"),
    Form("inputs and targets", "targets is the answer", "CohereForAI/aya_dataset card", known_by("inputs", "targets"),
         renamed("inputs", "targets")),
    Form("input and target", "target is the answer", NOT_READ, known_by("input", "target"), renamed("input", "target")),
    Form("LIMA", "the texts of conversations, user and assistant in turn", "GAIR/lima on the hub",
         known_by("conversations"), turns_of_texts, holds_texts("conversations"), beside="a list of texts"),
    Form("SteerLM", "the last turn of conversations is the answer; the attributes in label are not read", NOT_READ,
         known_by("conversations", "mask"), steerlm, holds_objects("conversations", "from"), known_by("system")),
    Form("Gemini contents", "the last turn is the answer", "docs.cloud.google.com, Vertex AI's tuning data",
         known_by("contents"), gemini, holds_objects("contents"), SYSTEMS),
    Form("guanaco", "turns behind '### Human:' and '### Assistant:'", "timdettmers/openassistant-guanaco on the hub",
         known_by("text"), guanaco, _is_guanaco, beside="a text that begins with '### Human:'"),
)  # fmt: skip
