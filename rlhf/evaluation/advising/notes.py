"""A note: what was seen, and what follows from it."""

from typing import NamedTuple


class Note(NamedTuple):
    seen: str
    follows: str
