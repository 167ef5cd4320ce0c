"""A text that a moderator learns from, is tuned on, or is tested on."""

from typing import Literal, NamedTuple

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Kind = Literal["harmful", "look_alike", "plain", "refusal", "compliance", "own"]


class Example(NamedTuple):
    text: str
    language: str
    category: str | None  # of harm; None: harmless
    kind: Kind
    type: str  # of a look-alike; else the category, or the kind again
    group: str  # what it was made of: texts of one group stand and fall together
