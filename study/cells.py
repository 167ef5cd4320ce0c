"""Reading what cells have measured, and comparing two of them on the prompts, comparisons or texts that both have."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap, Interval

FOLDER = Path("metrics/study/cells")
BOOTSTRAP = Bootstrap(resamples=2000, coverage=0.95, seed=0)
GOLD_TIE = 0.02
PIECES = ("loss", "cloze")  # columns of pieces of text, not of prompts


class Missing(LookupError):
    """A cell has not run, or not as it is described now, or has not measured what is asked for."""

    def __init__(self, cell: str, why: str):
        super().__init__(f"{cell}: {why}")
        self.cell, self.why = cell, why


class Place(NamedTuple):
    """A policy within a cell: `seed_17/ppo`; of cells with one policy the cell's name alone says which."""

    cell: str
    policy: str | None

    @classmethod
    def of(cls, text: str) -> "Place":
        cell, _, policy = text.partition("/")
        return cls(cell, policy or None)


def read(root: Path, name: str) -> dict[str, Any]:
    """Return a cell's measurements. Raises Missing, naming the command that makes them."""
    path = root / FOLDER / f"{name}.json"
    if not path.exists():
        raise Missing(name, f"{path} is not there: {command([name])}")
    return json.loads(path.read_text(encoding="utf-8"))


def command(cells: Sequence[str]) -> str:
    """Return what makes these cells."""
    return "dvc repro " + " ".join(target(name) for name in dict.fromkeys(cells))


def target(name: str) -> str:
    """Return DVC's name of the stage that makes a cell."""
    stages = {"seed": "chain", "encoder": "encoder_cell"}
    return f"study/dvc.yaml:{stages.get(name.split('_')[0], 'cell')}@{name}"


def policies(cell: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a cell's policies by name, however many it has measured."""
    return cell.get("policies", {}) | ({"ppo": cell["policy"]} if "policy" in cell else {})


def policy(cell: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return what was measured of a policy."""
    return cell["policies"][place.policy] if place.policy else cell["policy"]


def column(cell: Mapping[str, Any], place: Place, decoding: str, name: str) -> dict[str, float]:
    """Return {prompt id: value}; `name` is a column of measure.policies, or a probe's (loss, cloze) by piece.

    Raises Missing where it was not measured.
    """
    found = policy(cell, place)
    if name in PIECES:
        return {str(number): value for number, value in enumerate(found["probes"][name])}
    if name not in found[decoding]:
        raise Missing(place.cell, f"measured before there was a column {name}")
    return dict(zip(found["prompts"], found[decoding][name], strict=True))


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return both values by what both have, in a fixed order. Raises ValueError where they share nothing."""
    both = sorted(first.keys() & second.keys())
    if not both:
        raise ValueError("the two cells share no prompt: compare cells of one seed")
    return {key: (first[key], second[key]) for key in both}


def accuracy(cell: Mapping[str, Any], part: str, by: str) -> dict[str, tuple[int, int]]:
    """Return {comparison id: (right, pairs)} of a cell's reward model."""
    found = cell["reward_model"][part]
    return {key: (right, pairs) for key, (right, pairs) in zip(found["comparisons"], found[by], strict=True)}


def accuracy_interval(root: Path, name: str, part: str, by: str) -> Interval:
    """Return a reward model's accuracy, with its interval over comparisons."""
    rows = np.array([*accuracy(read(root, name), part, by).values()], dtype=np.float64)
    rng = np.random.default_rng([BOOTSTRAP.seed, 1])
    drawn = [rows[rng.integers(0, len(rows), len(rows))].sum(axis=0) for _ in range(BOOTSTRAP.resamples)]
    shares = [right / pairs for right, pairs in drawn]
    low, high = np.quantile(shares, [(1 - BOOTSTRAP.coverage) / 2, (1 + BOOTSTRAP.coverage) / 2])
    right, pairs = rows.sum(axis=0)
    return Interval(float(right / pairs), float(low), float(high))


def mean_interval(values: Sequence[float]) -> Interval:
    return statistics.mean_interval(values, BOOTSTRAP)
