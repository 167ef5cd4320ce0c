"""The laboratory's plots."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlhf.evaluation import plots
from rlhf.evaluation.plots import Frame, Line

DISTANCE = "√KL to SFT (nats an answer)"
WINDOW = 5  # iterations that are averaged for a curve
FARTHEST = 60  # nats: the base model is farther, and not drawn
SIZES = ("rm_264_17", "rm_1056", "seed_17")  # cells that differ in the number of prompts compared
GROUPS = {  # lines of the frontier: which points they join
    "PPO over β": lambda p: p["policy"] == "ppo" and p["cell"].startswith(("seed_", "kl_")),
    "best of n": lambda p: p["policy"].startswith("best_of_"),
    "PPO over γ": lambda p: p["policy"] == "ppo" and p["cell"].startswith(("seed_", "ptx_")),
    "FeedME": lambda p: p["policy"] == "feedme",
}


def drawings(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, SVG)."""
    for value, label in (("gold", "gold of the rollouts"), ("score", "reward model's score")):
        yield f"overoptimisation_{value}", overoptimisation(found["overoptimisation"]["ppo"], value, label)
    yield "frontier", frontier(found["frontier"])
    sizes = [row for row in found["reward_models"] if row["cell"] in SIZES]
    if len(sizes) > 1:
        yield "reward_model", comparisons(sorted(sizes, key=lambda row: row["training"]["prompts"]))


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the means of WINDOW neighbours."""
    return np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid").tolist()


def overoptimisation(ppo: Sequence[dict[str, Any]], value: str, label: str) -> str:
    """Return a value of PPO's iterations over their distance from SFT, a line a KL coefficient (Gao et al. 2022)."""
    series = [
        Line(
            (f"β = {row['kl_coef']:g}" if row["kl_coef"] != "default" else "default β")
            + (" (stale)" if "stale" in row else ""),
            smoothed([max(point["kl"], 0.0) ** 0.5 for point in row["points"]]),
            smoothed([point[value] for point in row["points"]]),
        )
        for row in ppo
        if row["seed"] == ppo[0]["seed"] and row["cell"].startswith(("seed_", "kl_"))
    ]
    return plots.lines(series, Frame(f"PPO's iterations: {label}", DISTANCE, label), value)


def frontier(points: Sequence[dict[str, Any]]) -> str:
    """Return gold over the distance from SFT, of the first seed."""
    near = [point for point in points if point["seed"] == points[0]["seed"] and point["kl"] < FARTHEST]
    series = []
    for name, belongs in GROUPS.items():
        mine = sorted(filter(belongs, near), key=lambda point: point["kl"])
        if mine:
            bounds = ([point["gold"][bound] for point in mine] for bound in ("mean", "low", "high"))
            series.append(Line(name, [max(point["kl"], 0.0) ** 0.5 for point in mine], *bounds))
    return plots.lines(series, Frame("Gold at equal KL", DISTANCE, "gold, sampled"), "frontier")


def comparisons(rows: Sequence[dict[str, Any]]) -> str:
    """Return the reward model's held-out agreement over the number of prompts compared."""
    prompts = [row["training"]["prompts"] for row in rows]
    series = [
        Line(label, prompts, *([row[key][bound] for row in rows] for bound in ("mean", "low", "high")))
        for label, key in (("with labelers", "validation_labelers"), ("with gold", "validation_gold"))
    ]
    return plots.lines(series, Frame("More comparisons", "prompts compared", "held-out agreement", log_x=True), "rm")
