"""The study's figures: best rates by width, how far they move, the curves and the page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rlhf.evaluation import plots
from rlhf.evaluation.plots import Frame, Line
from rlhf.runtime.markdown import markdown_table
from study import pages
from study.mup import coordinates
from study.mup.trials import PARAMETRISATIONS, Known, Optimiser, Sizes, Trial

OUT, PAGE = Path("metrics/mup.json"), pages.FOLDER / "mup.md"
PICTURES = Path("docs/pictures")
TITLES = {"standard": "Standard", "mup": "μP"}
OPTIMISERS = {"adamw": "AdamW", "muon": "Muon on hidden matrices"}
WORSE = 0.01  # nats: by which a wider model's best loss may be higher and count as no worse


def figures(sizes: Sizes, known: Known, optimiser: Optimiser) -> dict[str, Any]:
    """Return what the trainings of an optimiser say, all of which are known."""
    losses = {
        name: {
            str(width): {
                f"{rate:.6g}": [known[Trial(optimiser, name, width, rate, seed)] for seed in sizes.seeds]
                for rate in sizes.rates
            }
            for width in sizes.widths
        }
        for name in PARAMETRISATIONS
    }
    best = {name: {width: best_of(by_rate) for width, by_rate in found.items()} for name, found in losses.items()}
    return {
        "best_rate": {name: {width: rate for width, (rate, _) in found.items()} for name, found in best.items()},
        "best_loss": {name: {width: loss for width, (_, loss) in found.items()} for name, found in best.items()},
        "octaves": {name: octaves([rate for rate, _ in found.values()]) for name, found in best.items()},
        "never_worse_with_width": {name: falls([loss for _, loss in found.values()]) for name, found in best.items()},
        "losses": losses,
    }


def mean(losses: Sequence[float | None]) -> float:
    """Return the mean over seeds; infinity where one broke down."""
    return math.inf if None in losses else fmean(loss for loss in losses if loss is not None)


def best_of(by_rate: Mapping[str, Sequence[float | None]]) -> tuple[float, float]:
    """Return the rate of the lowest mean loss, and that loss. Raises ValueError where every rate broke down."""
    rate = min(by_rate, key=lambda name: mean(by_rate[name]))
    if math.isinf(mean(by_rate[rate])):
        raise ValueError("study/mup/params.yaml: every training of a width broke down; lower largest_rate")
    return float(rate), mean(by_rate[rate])


def octaves(rates: Sequence[float]) -> float:
    """Return how far rates lie apart, in doublings."""
    return math.log2(max(rates) / min(rates))


def falls(losses: Sequence[float]) -> bool:
    """Return whether the loss gets no worse from each width to the next."""
    return all(after <= before + WORSE for before, after in zip(losses, losses[1:], strict=False))


def drawings(found: Mapping[str, Any], optimiser: str) -> dict[str, str]:
    """Return {file name: SVG}: loss against rate, a line a width, one plot a parametrisation."""
    made = {}
    for name, by_width in found["losses"].items():
        series = []
        for width, by_rate in by_width.items():
            points = sorted((math.log2(float(rate)), mean(losses)) for rate, losses in by_rate.items())
            finite = [point for point in points if math.isfinite(point[1])]
            series.append(Line(f"width {width}", *map(list, zip(*finite, strict=True))))
        title = f"{TITLES[name]}, {OPTIMISERS[optimiser]}"
        frame = Frame(title, "log2 of the learning rate", "loss on held-out text, nats a token")
        made[f"mup_{optimiser}_{name}.svg"] = plots.lines(series, frame, f"mup_{optimiser}_{name}") + "\n"
    return made


def page(measured: Mapping[str, Any]) -> str:
    """Return docs/generated/mup.md."""
    parts = [_of_optimiser(name, measured[name]) for name in OPTIMISERS if name in measured]
    slopes = measured["coordinates"]
    rows = [[part, *(f"{slopes[name][part]:+.3f}" for name in PARAMETRISATIONS)] for part in slopes["mup"]]
    check = (
        "## Coordinate check\n\nThe slope of log(mean |activation|) against log(width) after a few updates, by AdamW; "
        f"above {coordinates.MOST} a size grows with the width (tests/study/test_mup.py asserts it).\n\n"
        + markdown_table(["part", *TITLES.values()], rows)
    )
    return pages.page("Learning rates over widths", "python -m study.mup", OUT, "\n\n".join([*parts, check])) + "\n"


def _of_optimiser(optimiser: str, found: Mapping[str, Any]) -> str:
    widths = [*found["best_rate"]["mup"]]
    rows = [
        [f"{TITLES[name]}: {what}", *(shown(found[key][name][width]) for width in widths)]
        for name in PARAMETRISATIONS
        for what, key, shown in (("best rate", "best_rate", _rate), ("its loss", "best_loss", "{:.3f}".format))
    ]
    moved = "; ".join(
        f"{TITLES[name]}: the best rate moves by {found['octaves'][name]:g} octaves, and the loss "
        f"{'never gets' if found['never_worse_with_width'][name] else 'gets'} worse with width"
        for name in PARAMETRISATIONS
    )
    images = " ".join(
        f"![Loss against learning rate by width, {TITLES[name]}](../pictures/mup_{optimiser}_{name}.svg)"
        for name in PARAMETRISATIONS
    )
    title = f"## {OPTIMISERS[optimiser]}"
    return "\n\n".join([title, f"{moved}.", markdown_table(["width", *widths], rows), images])


def _rate(rate: float) -> str:
    return f"2^{math.log2(rate):g}"
