"""Formats of answers to imitate, and of answers that were called good or bad: the bad ones are no demonstrations."""

import re
from collections.abc import Callable

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.form import (
    Fields,
    Form,
    Own,
    Read,
    answer,
    good_or_bad,
    holds_objects,
    holds_texts,
    is_flag,
    items,
    known_by,
    text,
)
from rlhf.records.json_values import is_list, is_object

SPEAKER = re.compile(r"### (Human|Assistant):")


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


def _is_flag(column: str) -> Callable[[Fields], bool]:
    return lambda fields: is_flag(fields.get(column))


def renamed(prompt: str, response: str) -> Read:
    """Return a reader of a prompt and an answer under other names."""
    return lambda fields: {"prompt": fields[prompt], "response": answer(fields[response])}


def stepwise(_: Fields) -> Own:
    raise ValueError("its labels are of steps of one answer, which nothing here learns from; leave this source out")


def _is_of_steps(fields: Fields) -> bool:
    labels = fields.get("labels")
    return is_list(labels) and bool(labels) and isinstance(labels[0], bool)


def turns_of_texts(fields: Fields) -> Own:
    """LIMA: a list of texts, the user's first."""
    said = items(fields, "conversations")
    return {"messages": [{"role": ("user", "assistant")[index % 2], "content": one} for index, one in enumerate(said)]}


def gemini(fields: Fields) -> Own:
    return {"messages": fields["contents"]}


def guanaco(fields: Fields) -> Own:
    """Turns in one text, each behind "### Human:" or "### Assistant:"."""
    pieces = SPEAKER.split(text(fields, "text"))[1:]
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    return {"messages": [{"role": speaker, "content": said.strip()} for speaker, said in turns]}


def _is_guanaco(fields: Fields) -> bool:
    return isinstance(fields.get("text"), str) and fields["text"].lstrip().startswith("### Human:")


FLAGGED = (("prompt", "completion", "label"), ("prompt", "response", "label"), ("instruction", "output", "kto_tag"),
           ("instruction", "output", "label"), ("messages", "", "label"), ("messages", "", "kto_tag"),
           ("conversations", "", "label"), ("conversations", "", "kto_tag"), ("query", "response", "label"),
           ("prompt", "response", "is_safe"))  # fmt: skip

FORMS = (
    *(Form(f"answers with {flag}", f"{flag}: true is a good answer; the others are no demonstrations",
           known_by(*filter(None, (asked, said, flag))), flagged(flag), _is_flag(flag),
           known_by("input", "history", "category")) for asked, said, flag in FLAGGED),
    Form("stepwise supervision", "refused", known_by("prompt", "completions", "labels"), stepwise,
         _is_of_steps),
    Form("inputs and targets", "targets is the answer", known_by("inputs", "targets"), renamed("inputs", "targets")),
    Form("input and target", "target is the answer", known_by("input", "target"), renamed("input", "target")),
    Form("LIMA", "the texts of conversations, user and assistant in turn", known_by("conversations"), turns_of_texts,
         holds_texts("conversations")),
    Form("Gemini contents", "the last turn is the answer", known_by("contents"), gemini,
         holds_objects("contents")),
    Form("guanaco", "turns behind '### Human:' and '### Assistant:'", known_by("text"), guanaco,
         _is_guanaco),
)  # fmt: skip
