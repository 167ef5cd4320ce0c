"""Reading what cells have measured, and comparing two of them on the prompts, comparisons or texts that both have."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap, Interval

FOLDER = Path("metrics/study/cells")
BOOTSTRAP = Bootstrap(resamples=2000, coverage=0.95, seed=0)
GOLD_TIE = 0.02


class Missing(LookupError):
    """A cell has not run yet."""


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
        raise Missing(f"{path} is not there: {command([name])}")
    return json.loads(path.read_text(encoding="utf-8"))


def command(cells: Sequence[str]) -> str:
    """Return what makes these cells."""
    return "dvc repro " + " ".join(target(name) for name in dict.fromkeys(cells))


def target(name: str) -> str:
    """Return DVC's name of the stage that makes a cell."""
    stages = {"seed": "chain", "encoder": "encoder_cell"}
    return f"study/dvc.yaml:{stages.get(name.split('_')[0], 'cell')}@{name}"


def policy(root: Path, place: Place) -> dict[str, Any]:
    """Return what was measured of a policy."""
    cell = read(root, place.cell)
    return cell["policies"][place.policy] if place.policy else cell["policy"]


def column(root: Path, place: Place, decoding: str, name: str) -> dict[str, float]:
    """Return {prompt id: value}; `name` is a column of measure.policies, or a probe's (loss, cloze) by piece."""
    found = policy(root, place)
    if name in ("loss", "cloze"):
        return {str(number): value for number, value in enumerate(found["probes"][name])}
    return dict(zip(found["prompts"], found[decoding][name], strict=True))


def differences(first: dict[str, float], second: dict[str, float]) -> np.ndarray:
    """Return first - second over what both have [N], in a fixed order. Raises ValueError where they share nothing."""
    both = sorted(first.keys() & second.keys())
    if not both:
        raise ValueError("the two cells share no prompt: compare cells of one seed")
    return np.array([first[key] - second[key] for key in both])


def pooled(samples: Sequence[np.ndarray], statistic: Callable[..., Any] = np.mean) -> Interval:
    """Return the mean over seeds of a statistic of each seed's samples, resampled within seeds alone.

    samples: one array a seed, [N] or [N, M], whose rows are resampled. Three seeds are too few to bootstrap over.
    """
    rng = np.random.default_rng([BOOTSTRAP.seed, len(samples)])
    drawn = [
        [statistic(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(BOOTSTRAP.resamples)] for rows in samples
    ]
    means = np.mean(drawn, axis=0)
    low, high = np.quantile(means, [(1 - BOOTSTRAP.coverage) / 2, (1 + BOOTSTRAP.coverage) / 2])
    return Interval(float(np.mean([statistic(rows) for rows in samples])), float(low), float(high))


def share_difference(rows: np.ndarray) -> float:
    """Return accuracy of the first minus the second reward model; rows [N, 4]: right and pairs of each."""
    right, pairs, other_right, other_pairs = rows.sum(axis=0)
    return float(right / pairs - other_right / other_pairs)


def accuracy(root: Path, name: str, part: str, by: str) -> dict[str, tuple[int, int]]:
    """Return {comparison id: (right, pairs)} of a cell's reward model."""
    found = read(root, name)["reward_model"][part]
    return {key: (right, pairs) for key, (right, pairs) in zip(found["comparisons"], found[by], strict=True)}


def accuracy_difference(root: Path, first: str, second: str, part: str, by: str) -> np.ndarray:
    """Return rows [N, 4] for `share_difference`, over comparisons that both were measured on."""
    one, other = accuracy(root, first, part, by), accuracy(root, second, part, by)
    both = sorted(one.keys() & other.keys())
    if not both:
        raise ValueError(f"{first} and {second} share no comparison")
    return np.array([[*one[key], *other[key]] for key in both], dtype=np.float64)


def accuracy_interval(root: Path, name: str, part: str, by: str) -> Interval:
    """Return a reward model's accuracy, with its interval over comparisons."""
    rows = np.array([*accuracy(root, name, part, by).values()], dtype=np.float64)
    return pooled([rows], lambda some: float(some[:, 0].sum() / some[:, 1].sum()))


def mean_interval(values: Sequence[float]) -> Interval:
    return statistics.mean_interval(values, BOOTSTRAP)
