"""The laboratory's plots."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlhf.evaluation import plots
from rlhf.evaluation.plots import Line

WINDOW = 5  # iterations that are averaged for a curve


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the means of WINDOW neighbours."""
    return np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid").tolist()


def drawings(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, SVG)."""
    ppo = found["overoptimisation"]["ppo"]
    for value, title, label in (
        ("gold", "Gold rises, and falls with distance", "gold score of the rollouts"),
        ("score", "while the proxy goes on rising", "reward model's score"),
    ):
        series = [
            Line(
                f"β = {row['kl_coef']}" if row["kl_coef"] != "default" else "default β",
                smoothed([max(point["kl"], 0.0) ** 0.5 for point in row["points"]]),
                smoothed([point[value] for point in row["points"]]),
            )
            for row in ppo
            if row["seed"] == ppo[0]["seed"] and row["cell"].startswith(("seed_", "kl_"))
        ]
        yield f"overoptimisation_{value}", plots.lines(series, title, "√KL(policy ‖ SFT), √nats", label, value)
    points = found["frontier"]
    groups = {
        "PPO over β": lambda p: p["policy"] == "ppo" and p["cell"].startswith(("seed_", "kl_")),
        "best of n": lambda p: p["policy"].startswith("best_of_"),
        "PPO-ptx": lambda p: p["cell"].startswith("ptx_"),
        "FeedME": lambda p: p["policy"] == "feedme",
        "PPO, direct score": lambda p: p["cell"] == "direct_policy",
    }
    first = points[0]["seed"]
    series = []
    for name, chosen in groups.items():
        mine = sorted((p for p in points if p["seed"] == first and chosen(p) and p["kl"] < 60), key=lambda p: p["kl"])
        if mine:
            bounds = {bound: [p["gold"][bound] for p in mine] for bound in ("mean", "low", "high")}
            x = [max(p["kl"], 0.0) ** 0.5 for p in mine]
            series.append(Line(name, x, bounds["mean"], bounds["low"], bounds["high"]))
    yield "frontier", plots.lines(series, "Gold at equal KL", "√KL(policy ‖ SFT), √nats", "gold, sampled", "frontier")
    sizes = sorted(
        (row["training"]["prompts"], row)
        for row in found["reward_models"]
        if row["cell"] in ("rm_264", "rm_528", "rm_1056", "seed_17")
    )
    if len(sizes) > 1:
        series = [
            Line(
                label,
                [count for count, _ in sizes],
                [row[key]["mean"] for _, row in sizes],
                [row[key]["low"] for _, row in sizes],
                [row[key]["high"] for _, row in sizes],
            )
            for label, key in (("with labelers", "validation_labelers"), ("with gold", "validation_gold"))
        ]
        yield (
            "reward_model",
            plots.lines(series, "More comparisons", "prompts compared", "held-out agreement", "rm", log_x=True),
        )
