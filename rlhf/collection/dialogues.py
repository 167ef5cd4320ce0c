"""Dialogues as the world's data sets write them (message lists, ShareGPT, hh-rlhf transcripts) -> lists of messages."""

import re
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.params.base import shown
from rlhf.records.json_values import is_object
from rlhf.records.types import Message, Role

Messages = list[Message]

ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
}
TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def is_transcript(text: str) -> bool:
    """Return whether `text` is in hh-rlhf's form: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    return text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def from_transcript(text: str) -> Messages:
    """Return the turns of an hh-rlhf transcript; an empty last Assistant turn (the cue to answer) is no turn."""
    pieces = TURN.split(text)[1:]
    messages: Messages = [
        {"role": ROLES[speaker.lower()], "content": content.strip()}
        for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    if messages and messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()
    return messages


def from_text(text: str) -> Messages:
    """Return a transcript's turns, or any other text as one user turn."""
    return from_transcript(text) if is_transcript(text) else [{"role": "user", "content": text}]


def from_list(turns: list[Any], place: str) -> Messages:
    """Return {role, content} or ShareGPT's {from, value} turns as messages; ValueError names `place` and turn."""
    messages: Messages = []
    for number, turn in enumerate(turns, start=1):
        if not is_object(turn):
            raise ValueError(f"{place}: turn {number}: expected an object, got {type(turn).__name__}")
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if not isinstance(role, str) or role.lower() not in ROLES:
            raise ValueError(f"{place}: turn {number}: role {shown(role)} is none of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise ValueError(f"{place}: turn {number}: expected text as content, got {type(content).__name__}")
        messages.append({"role": ROLES[role.lower()], "content": content})
    return messages


def split_answer(messages: Messages) -> tuple[Messages, str | None]:
    """Return the turns before a closing assistant turn, and that turn's text (None if a user speaks last)."""
    if messages and messages[-1]["role"] == "assistant":
        return messages[:-1], messages[-1]["content"]
    return messages, None


def check_prompt(messages: Messages) -> None:
    """Drop a prompt that is not: an optional system turn, then user and assistant in turn, the user first and last."""
    if not messages:
        raise Dropped("no_prompt")
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(turns))]
    if [turn["role"] for turn in turns] != expected or len(turns) % 2 == 0:
        raise Dropped("turns_do_not_alternate")
