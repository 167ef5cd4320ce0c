"""Plots as SVG text whose bytes depend on their data only: for the README, the report and MLflow."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2933", "#66727f", "#e3e8ee"
WIN, LOSS, UNDECIDED = "#0f766e", "#b4442c", "#66727f"
COLOURS = ("#0f766e", "#c2571a", "#5b5bd6", "#a8326e", "#8a7a12", "#66727f")
STYLE = {
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


class Bar(NamedTuple):
    """One line of a forest plot: a label, an estimate and its interval."""

    label: str
    mean: float
    low: float
    high: float


class Line(NamedTuple):
    """One line of a plot: its label, points and, where there are any, the bounds of a band around it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def forest(groups: Sequence[tuple[str, Sequence[Bar]]], title: str, x_label: str, name: str) -> str:
    """Return a forest plot of win rates: groups of estimates with their intervals around the line of no difference.

    `name` seeds the SVG's ids, so that several plots can stand in one page.
    """
    rows: list[tuple[str, Bar | None]] = []
    for heading, bars in groups:
        rows += [(heading, None), *((bar.label, bar) for bar in bars)]
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(8.4, 0.33 * len(rows) + 1.15), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for y, (label, bar) in enumerate(rows):
            if bar is None:
                axes.text(
                    -0.015, y, label, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold"
                )
                continue
            colour = WIN if bar.low > 0.5 else LOSS if bar.high < 0.5 else UNDECIDED
            axes.text(-0.015, y, label, transform=axes.get_yaxis_transform(), ha="right", va="center")
            axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=2.4, solid_capstyle="round")
            axes.plot([bar.mean], [y], "o", color=colour, markersize=5.5, markeredgecolor="white")
            axes.text(
                1.015,
                y,
                f"{bar.mean:.0%}",
                transform=axes.get_yaxis_transform(),
                va="center",
                weight="bold",
                color=colour,
            )
            axes.text(
                1.1, y, f"{bar.low:.0%}–{bar.high:.0%}", transform=axes.get_yaxis_transform(), va="center", color=MUTED
            )
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.6), xlabel=x_label, yticks=[], title=title)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        return _svg(figure)


def lines(series: Sequence[Line], title: str, x_label: str, y_label: str, name: str, log_x: bool = False) -> str:
    """Return a plot of one or more lines with markers, each with its band where it has bounds."""
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for line, colour in zip(series, COLOURS, strict=False):
            many = len(line.x) > 24
            marker = {} if many else {"marker": "o", "markersize": 5, "markeredgecolor": "white"}
            axes.plot(line.x, line.y, color=colour, linewidth=2, label=line.label, **marker)
            if line.low:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
        if log_x:
            axes.set_xscale("log", base=2)
            ticks = sorted({x for line in series for x in line.x})
            axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
            axes.minorticks_off()
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.legend(loc="best")
        return _svg(figure)


def _svg(figure: Any) -> str:
    """Return the figure as an <svg> element without the XML header, and without dates, versions or links."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
