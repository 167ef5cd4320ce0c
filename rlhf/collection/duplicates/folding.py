"""Prompts that say the same: equal up to case and spacing, or equal in a long prefix."""

from collections.abc import Iterable

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


def long_prefixes(texts: Iterable[str], characters: int) -> set[str]:
    """Return the texts whose first `characters` equal those of an earlier text; shorter texts equal no other's."""
    first: dict[str, str] = {}
    repeated: set[str] = set()
    for text in texts:
        if first.setdefault(text[:characters], text) != text:
            repeated.add(text)
    return repeated
