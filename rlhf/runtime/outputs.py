"""A stage's metrics and curves for git, DVC and the report: bytes are functions of the values alone."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.runtime.files import write_json, write_text

DECIMALS = 6


def write_metrics(root: Path, name: str, metrics: Mapping[str, Any], beside: Sequence[str] = ()) -> Path:
    """Write metrics/<name>.json; `name` is a stage, or a stage and its round ("ppo/r1": {"ppo": {"r1": metrics}}).

    `metrics` may nest mappings; its leaves are finite numbers, strings or booleans. Keys are sorted and floats rounded
    to six decimals, so equal values give equal bytes. Returns the path. Raises ValueError naming a leaf that is NaN,
    infinite or of another type. `beside`: metrics that stand beside the section too, for programs that know no stages.
    """
    own = content = _canonical(metrics, name)
    for part in reversed(name.split("/")):
        content = {part: content}
    content |= {key: own[key] for key in beside}
    path = root / "metrics" / f"{name}.json"
    write_json(path, content)
    return path


def write_curve(root: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write metrics/plots/<name>.csv: one line a row, columns in the order in which rows first name them.

    A row that lacks a column leaves its cell empty. Returns the path. Raises ValueError for rows of nothing or for a
    cell that is NaN, infinite or neither number nor string.
    """
    if not rows:
        raise ValueError(f"{name}: a curve needs at least one row")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _canonical(cell, f"{name}.{column}") for column, cell in row.items()} for row in rows)
    path = root / "metrics" / "plots" / f"{name}.csv"
    write_text(path, text.getvalue())
    return path


def thinned(curve: Sequence[Mapping[str, Any]], most: int = 200) -> list[Mapping[str, Any]]:
    """Return about `most` evenly spaced points of a curve; the last, and points with a column of their own, stay."""
    every = -(-len(curve) // most) if curve else 1
    usual = set(curve[0]) if curve else set()
    last = len(curve) - 1
    return [
        point for index, point in enumerate(curve) if (index + 1) % every == 0 or index == last or set(point) - usual
    ]


def _canonical(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(value[key], f"{place}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, str | bool | int):
        return value
    number = value.item() if hasattr(value, "item") else value  # a NumPy or torch scalar
    if isinstance(number, bool | int):
        return number
    if not isinstance(number, float) or not math.isfinite(number):
        raise ValueError(f"{place}: expected a finite number, a string or a mapping of such, got {value!r}")
    return round(number, DECIMALS) + 0.0  # adding 0.0 turns -0.0 into 0.0
