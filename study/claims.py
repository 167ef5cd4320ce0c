"""The papers' claims beside what was measured here → metrics/claims.csv.

    python -m study.claims           writes the table from the cells that have run
    python -m study.claims --cells   prints the DVC targets of the cells that it needs

claims.yaml says of each claim what the paper says, which cells test it, and what would confirm it.
"""

import csv
import io
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.params.base import Params, ParamsError
from rlhf.runtime.files import write_text
from rlhf.runtime.markdown import Marked
from study import cells, tables
from study.effects import AnyEffect
from study.params import typed

FILE = Path("claims.yaml")
OUT = Path("metrics/claims.csv")
COLUMNS = ("claim", "citation", "paper_figure", "expected", "effect", "low", "high", "verdict", "command")

Verdict = Literal["confirmed", "not confirmed", "inconclusive"]


class Claim(Params):
    claim: str
    citation: str
    paper_figure: str
    expected: Literal["positive", "negative", "none"] | list[float]  # a sign, no effect, or a range
    matters: float = Field(gt=0)  # the smallest effect of interest; below it there is none
    unit: str
    effect: AnyEffect


class Claims(Params):
    claims: list[Claim]


class Row(NamedTuple):
    claim: Claim
    interval: Interval
    verdict: Verdict


def verdict(found: Interval, expected: str | list[float], matters: float) -> Verdict:
    """Return what an interval says of an expectation.

    A sign is confirmed by an interval on that side of 0, and not by one that holds nothing of interest on that side; no
    effect is confirmed where all of interest is excluded. A range is confirmed by an interval inside it, and not by one
    outside.
    """
    if not isinstance(expected, str):
        low, high = expected
        if low <= found.low and found.high <= high:
            return "confirmed"
        return "not confirmed" if found.high < low or found.low > high else "inconclusive"
    low, high = (-found.high, -found.low) if expected == "negative" else (found.low, found.high)
    if expected == "none":
        if -matters < low and high < matters:
            return "confirmed"
        return "not confirmed" if low > 0 or high < 0 else "inconclusive"
    if low > 0:
        return "confirmed"
    return "not confirmed" if high < matters else "inconclusive"


def read(root: Path) -> list[Claim]:
    """Return the claims. Raises ParamsError naming every mistake."""
    return typed(Claims, root, FILE).claims


def table(rows: list[Row]) -> str:
    """Return the table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        claim, found = row.claim, row.interval
        writer.writerow(
            [
                claim.claim, claim.citation, claim.paper_figure, expectation(claim), f"{found.mean:.4f}",
                f"{found.low:.4f}", f"{found.high:.4f}", row.verdict, cells.command(claim.effect.cells()),
            ]
        )  # fmt: skip
    return text.getvalue()


def stored(root: Path) -> list[Row]:
    """Return the rows of metrics/claims.csv, each with its claim."""
    known = {claim.claim: claim for claim in read(root)}
    with open(root / OUT, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    intervals = [Interval(*(float(line[name]) for name in ("effect", "low", "high"))) for line in lines]
    return [Row(known[line["claim"]], found, line["verdict"]) for line, found in zip(lines, intervals, strict=True)]


def expectation(claim: Claim) -> str:
    """Return what is expected, in words."""
    signs = {"positive": "> 0", "negative": "< 0", "none": f"within ±{claim.matters:g}"}
    if isinstance(claim.expected, str):
        return signs[claim.expected]
    return "{:g} to {:g}".format(*claim.expected)


def markdown(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    lines = []
    for row in rows:
        claim, found = row.claim, row.interval
        sign = "" if not isinstance(claim.expected, str) else "+"
        here = f"{found.mean:{sign}.4f} ({found.low:{sign}.4f} to {found.high:{sign}.4f}) {claim.unit}"
        paper = f"{claim.citation}: {claim.paper_figure}"
        lines.append([claim.claim, paper, here, expectation(claim), Marked(f"**{row.verdict}**")])
    shown = Table(["claim", "the paper", "here (95% interval)", "expected", "verdict"], lines)
    counts = {name: sum(row.verdict == name for row in rows) for name in Verdict.__args__}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{tables.as_markdown(shown)}\n{len(rows)} claims: {summary}.\n"


def main(arguments: list[str], root: Path = Path(".")) -> int:
    try:
        claims = read(root)
        if arguments == ["--cells"]:
            names = dict.fromkeys(name for claim in claims for name in claim.effect.cells())
            print(" ".join(cells.target(name) for name in names))
            return 0
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    rows = []
    for claim in claims:
        try:
            found = claim.effect.measured(root)
            rows.append(Row(claim, found, verdict(found, claim.expected, claim.matters)))
        except cells.Missing as missing:
            print(f"left out: {claim.claim}: {missing.args[0]}", file=sys.stderr)
    write_text(root / OUT, table(rows))
    print(markdown(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
