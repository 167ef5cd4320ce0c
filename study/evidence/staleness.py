"""What has changed since a cell was made: params of study/params.yaml and the laptop preset, and code.

Values that differ make its figures stale; keys that the pipeline has got or lost since do not, unless the cell itself
changes them. Other code may or may not give other figures: which parts of it have changed is told, and the figures stay
in use.
"""

from collections.abc import Mapping
from typing import Any

from rlhf.params.base import shown
from rlhf.runtime.flat import flatten
from study.evidence.made_with import UNREAD
from study.params import Cell

NAMED = 3  # parts of the code that have changed; of more their number is said
COLLECTING = {"collect_answers", "collect_comparisons"}
AFTER_SFT = {*COLLECTING, "reward_model", "ppo", "feedme", "rejection", "dpo", "judge", "moderation"}
LATER = {  # sections that a stage and those before it do not read
    "sft": AFTER_SFT,
    "reward_model": AFTER_SFT - {*COLLECTING, "reward_model"},
    "feedme": AFTER_SFT - {*COLLECTING, "feedme"},
    "ppo": {"feedme", "rejection", "dpo", "judge", "moderation"},
}


def differences(kept: Mapping[str, Any], cell: Cell, content: Mapping[str, Any]) -> list[str]:
    """Return what differs between a cell's record and its params now, each as `ppo.iterations 40, now 20`."""
    then, now = (
        {key: value for key, value in flatten(one).items() if not _is_unread(key, cell)}
        for one in (kept["params"], content)
    )
    changed = {**kept["change"], **cell.change}
    alone = [key for key in then.keys() ^ now.keys() if any(f"{key}.".startswith(f"{own}.") for own in changed)]
    both = [key for key in then.keys() & now.keys() if then[key] != now[key]]
    return [f"{key} {_value(then, key)}, now {_value(now, key)}" for key in sorted([*both, *alone])]


def changed_code(kept: Mapping[str, Any], code: Mapping[str, str]) -> str | None:
    """Return which parts of the code have changed since, in words; None where none has."""
    if "code" not in kept:
        return "code that it does not tell"
    then = kept["code"]
    parts = sorted(part for part in then.keys() | code.keys() if then.get(part) != code.get(part))
    more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return f"{', '.join(parts[:NAMED])}{more}" if parts else None


def _is_unread(key: str, cell: Cell) -> bool:
    later = set.intersection(*(LATER.get(target.partition("@")[0], set[str]()) for target in cell.targets))
    return key.split(".")[0] in {*UNREAD, *later}


def _value(leaves: Mapping[str, Any], key: str) -> str:
    return shown(leaves[key], 40) if key in leaves else "left out"
