"""What a cell was made with: its record, which `staleness` lays beside what there is now.

A cell keeps its params in its own file, since locks can be made to accept what was never run.
"""

from collections.abc import Mapping
from typing import Any

from study.params import Cell

UNREAD = ("tracking", "checkpoints")  # sections that change no figure


def record(cell: Cell, content: Mapping[str, Any], code: Mapping[str, str]) -> dict[str, Any]:
    """Return what a cell keeps of its params and of its code: `content` is all params, `code` {part: sum}."""
    return {
        "change": cell.change,
        "params": {name: value for name, value in content.items() if name not in UNREAD},
        "code": code,
    }
