"""Texts as they are compared: equal up to case and spacing."""

from rlhf.records.types import DialogueRecord


def folded(text: str) -> str:
    """Return text as it is compared: case-folded, every run of white space one space."""
    return " ".join(text.casefold().split())


def prompt_text(record: DialogueRecord) -> str:
    """Return the folded text of all turns; a single user turn stands for itself."""
    messages = record["messages"]
    if len(messages) == 1:
        return folded(messages[0]["content"])
    return folded("\n".join(f"{turn['role']}: {turn['content']}" for turn in messages))
