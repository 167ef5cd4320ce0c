"""What a cell was made with, beside what study/params.yaml and the laptop preset say of it now.

A cell keeps its params in its own file, since locks can be made to accept what was never run. Values that differ make
its figures stale; keys that the pipeline has got or lost since do not, unless the cell itself changes them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf.params.base import is_mapping, shown
from study.params import Cell

UNREAD = ("tracking", "checkpoints")  # sections that change no figure
LATER = {  # sections whose stages come after the last one that a cell runs
    "reward_model": ("ppo", "feedme", "judge", "moderation"),
    "ppo": ("feedme", "judge", "moderation"),
}


def record(cell: Cell, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cell keeps of its params; `content` is all of them."""
    return {
        "change": cell.change,
        "params": {name: value for name, value in content.items() if name not in UNREAD},
    }


def differences(kept: Mapping[str, Any], cell: Cell, content: Mapping[str, Any]) -> list[str]:
    """Return what differs between a cell's record and its params now, each as `ppo.iterations 40, now 20`."""
    then, now = (
        {key: value for key, value in _leaves(one) if not _is_unread(key, cell)} for one in (kept["params"], content)
    )
    changed = {**kept["change"], **cell.change}
    alone = [key for key in then.keys() ^ now.keys() if any(f"{key}.".startswith(f"{own}.") for own in changed)]
    both = [key for key in then.keys() & now.keys() if then[key] != now[key]]
    return [f"{key} {_value(then, key)}, now {_value(now, key)}" for key in sorted([*both, *alone])]


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of all that is no mapping; a list is a value."""
    for key, value in content.items():
        if is_mapping(value):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_unread(key: str, cell: Cell) -> bool:
    stages = {target.partition("@")[0] for target in cell.targets}
    later = LATER.get(stages.pop(), ()) if len(stages) == 1 else ()
    return key.split(".")[0] in (*UNREAD, *later)


def _value(leaves: Mapping[str, Any], key: str) -> str:
    return shown(leaves[key], 40) if key in leaves else "left out"
