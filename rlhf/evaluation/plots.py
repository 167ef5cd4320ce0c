"""Plots as SVG text whose bytes depend on their data only: for the report, docs and MLflow."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf.evaluation import typography
from rlhf.evaluation.statistics import Interval

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
    """One line of a forest plot: a label, and an estimate with its interval."""

    label: str
    rate: Interval


class Line(NamedTuple):
    """One line of a plot: its label, points and, where there are any, the bounds of a band around it.

    `end` is written beside the last point. A `faint` line is the ground that another one is drawn on.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    end: str = ""
    faint: bool = False


class Frame(NamedTuple):
    """What stands around the lines of a plot; `size` is its width and height in inches."""

    title: str
    x_label: str
    y_label: str
    log_x: bool = False
    size: tuple[float, float] = (4.8, 3.1)


SMALL = (4.2, 2.5)
WIDTHS = (1, 1.6)  # least and most pixels a point: letters of 10 to 16 pixels


def forest(groups: Sequence[tuple[str, Sequence[Bar]]], title: str, x_label: str, name: str) -> str:
    """Return a forest plot of win rates: groups of estimates with their intervals around the line of no difference.

    `name` seeds the SVG's ids, so that several plots can stand in one page.
    """
    rows: list[tuple[str, Bar | None]] = []
    for heading, bars in groups:
        rows += [(heading, None), *((bar.label, bar) for bar in bars)]
    with rc_context(_style(name)):
        figure = Figure(figsize=(6.5, 0.3 * len(rows) + 1.0), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for y, (label, bar) in enumerate(rows):
            place = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(-0.015, y, label, ha="right", weight="normal" if bar else "bold", **place)
            if bar is not None:
                _draw_bar(axes, y, bar.rate, place)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.6), xlabel=x_label, yticks=[])
        axes.set_title(title, loc="right")  # over the names too: beside long ones the axes are narrow
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        engine: Any = figure.get_layout_engine()  # the constrained one, as asked
        engine.set(w_pad=0.12)  # inches; it leaves too little for the words on the right
        return _svg(figure)


def _style(name: str) -> Any:
    """Return matplotlib's settings, whose names it declares one by one, with a seed of the SVG's ids."""
    return {**STYLE, "svg.hashsalt": name}


def _draw_bar(axes: Any, y: int, rate: Interval, place: dict[str, Any]) -> None:
    """Draw an interval with its estimate, and both in words to the right of the axes."""
    colour = WIN if rate.low > 0.5 else LOSS if rate.high < 0.5 else UNDECIDED
    axes.plot([rate.low, rate.high], [y, y], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot([rate.mean], [y], "o", color=colour, markersize=5.5, markeredgecolor="white")
    axes.text(1.02, y, typography.percent(rate.mean), weight="bold", color=colour, **place)
    axes.text(1.19, y, typography.percent_bounds(rate), color=MUTED, **place)


def lines(series: Sequence[Line], frame: Frame, name: str) -> str:
    """Return a plot of one or more lines, with markers where they are few, each with its band where it has bounds."""
    with rc_context(_style(name)):
        figure = Figure(figsize=frame.size, layout="constrained")
        axes = figure.add_subplot()
        colours = iter(COLOURS)
        for number, line in enumerate(series):
            _draw_line(axes, line, COLOURS[0] if line.faint else next(colours))
            if line.end:  # the first line's below it, the others' above
                place = {"xytext": (2, -34) if number == 0 else (-4, 8), "textcoords": "offset points"}
                axes.annotate(line.end, (line.x[-1], line.y[-1]), ha="center", fontsize=9, **place)
        if frame.log_x:
            axes.set_xscale("log", base=2)
            ticks = sorted({x for line in series for x in line.x})
            axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
            axes.minorticks_off()
        elif all(float(x).is_integer() for line in series for x in line.x):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(title=frame.title, xlabel=frame.x_label, ylabel=frame.y_label)
        if sum(not line.faint for line in series) > 1:
            axes.legend(loc="best")
        return _svg(figure)


def _draw_line(axes: Any, line: Line, colour: str) -> None:
    few = {"marker": "o", "markersize": 5, "markeredgecolor": "white"} if len(line.x) <= 24 and not line.faint else {}
    weight = {"linewidth": 1, "alpha": 0.25} if line.faint else {"linewidth": 2, "label": line.label}
    axes.plot(line.x, line.y, color=colour, **weight, **few)
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _svg(figure: Any) -> str:
    """Return the figure as an <svg> element without the XML header, and without dates, versions or links.

    It grows and shrinks with the page, but not to less than its letters can be read at: then the page scrolls it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    least, most = (figure.get_figwidth() * 72 * share for share in WIDTHS)
    style = f"min-width:{least:.0f}px;max-width:{most:.0f}px"
    return text[text.index("<svg") :].replace("<svg ", f'<svg style="{style}" ', 1)
