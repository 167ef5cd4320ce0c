"""What was trained before the evaluation: the figures and curves that the stages have written, and the data's sources.

Values alone: no times, hosts or run ids, so that equal training gives an equal report.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Curve = Sequence[Mapping[str, float]]

WITHOUT_ROUND, OF_A_ROUND = ("pretrain", "sft"), ("collect_comparisons", "reward_model", "ppo")
CURVES = ("pretrain", "sft", "reward_model", "ppo")
SOURCE_COLUMNS = ("source", "from", "use", "licence", "read", "kept")


class History(NamedTuple):
    seed: int
    round: str  # the last one
    metrics: Mapping[str, Mapping[str, Any]]  # by stage: content of its metrics file
    curves: Mapping[str, Curve]  # by stage: a point a row, without the columns that it lacks
    sources: Sequence[Mapping[str, str]]  # by SOURCE_COLUMNS, from the data card


def read(root: Path, last_round: str, seed: int) -> History:
    """Return what metrics/, metrics/plots/ and the data card say of the training that led to `last_round`."""
    places, metrics = _places(last_round), {}
    for stage, place in places.items():
        content = json.loads((root / "metrics" / f"{place}.json").read_text(encoding="utf-8"))[stage]
        metrics[stage] = content if stage in WITHOUT_ROUND else content[last_round]
    curves = {name: _curve(root / "metrics/plots" / f"{places[name]}.csv") for name in CURVES}
    card = (root / "data/collect_prompts/data_card.md").read_text(encoding="utf-8")
    return History(seed, last_round, metrics, curves, sources(card))


def files(last_round: str) -> list[str]:
    """Return what `read` reads below metrics/."""
    places = _places(last_round)
    return [*(f"{place}.json" for place in places.values()), *(f"plots/{places[name]}.csv" for name in CURVES)]


def _places(last_round: str) -> dict[str, str]:
    return {name: name for name in WITHOUT_ROUND} | {name: f"{name}/{last_round}" for name in OF_A_ROUND}


def sources(card: str) -> list[dict[str, str]]:
    """Return where the data came from, how much was kept, and under which licence, as the data card lists it."""
    kept = {row["source"]: row for row in _table(card, "Kept and dropped")}
    return [{name: {**row, **kept[row["source"]]}[name] for name in SOURCE_COLUMNS} for row in _table(card, "Sources")]


def column(curve: Curve, name: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a column, where points have it."""
    points = [(point["step"], point[name]) for point in curve if name in point]
    return [step for step, _ in points], [value for _, value in points]


def _curve(file: Path) -> list[dict[str, float]]:
    with open(file, encoding="utf-8", newline="") as opened:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(opened)]


def _table(markdown: str, title: str) -> list[dict[str, str]]:
    """Return the rows of the table below a heading."""
    section = markdown.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip()[1:-1] for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
