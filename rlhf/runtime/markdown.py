"""Texts and tables in Markdown that show what they hold, whoever wrote it: nothing in a text is taken for markup."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is none
# What would steer a terminal that shows the file, or turn the direction of what follows it.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
TAG, ENTITY = re.compile(r"<(?=[a-zA-Z/!?])"), re.compile(r"&(?=#?\w+;)")  # where one may begin


class Marked(str):
    """A cell of a table that is Markdown already."""

    __slots__ = ()


def plain(text: str) -> str:
    """Return Markdown of one line that is read as `text`, white space as one space (CommonMark 0.31, 2 and 6).

    Characters that are seen by what they do, as those of a terminal's colours, stand as escapes.
    """
    line = ENTITY.sub("&amp;", STEERING.sub(lambda found: repr(found[0])[1:-1], " ".join(text.split())))
    return TAG.sub("&lt;", MARKUP.sub(r"\\\g<0>", line))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of cells under their columns, each cell shown as it is; those that are Marked are Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return cell if isinstance(cell, Marked) else plain(str(cell))
