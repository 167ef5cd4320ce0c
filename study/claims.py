"""The papers' claims beside what was measured here → metrics/claims.csv.

    python -m study.claims           writes the table from the cells that have run
    python -m study.claims --cells   prints the DVC targets of the cells that it needs

claims.yaml says of each claim what the paper says, which cells test it, what would confirm it, and what it means.
"""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from rlhf.evaluation import statistics
from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.params.base import Params, ParamsError
from rlhf.runtime.files import write_text
from rlhf.runtime.markdown import Marked
from study import cells, params, tables
from study.effects import AnyEffect
from study.evidence import fairness, laboratory, verdicts
from study.evidence.estimates import Estimate
from study.evidence.laboratory import Laboratory
from study.evidence.verdicts import Expected, Judgement, Verdict

FILE = Path("claims.yaml")
OUT = Path("metrics/claims.csv")
COLUMNS = (
    "claim", "citation", "paper_figure", "expected", "effect", "low", "high", "seeds", "adjusted", "verdict",
    "referee", "command",
)  # fmt: skip
NOT_MEASURED = "–"


class Claim(Params):
    claim: str
    citation: str
    paper_figure: str
    expected: Expected  # a sign, no effect, or a range
    matters: float = Field(gt=0)  # the smallest effect of interest; below it there is none
    unit: str
    referee: str  # what it means, and what could be said against it
    effect: AnyEffect


class Claims(Params):
    claims: list[Claim]


class Row(NamedTuple):
    claim: Claim
    interval: Interval | None
    seeds: int  # that were measured
    adjusted: float | None  # p-value, corrected for all claims
    verdict: Verdict
    referee: str


def read(root: Path) -> list[Claim]:
    """Return the claims. Raises ParamsError naming every mistake."""
    return params.typed(Claims, root, FILE).claims


def rows(claims: Sequence[Claim], of: Laboratory) -> list[Row]:
    """Return what the cells say of every claim; p-values are corrected for all claims, measured yet or not."""
    found = [claim.effect.estimate(of) for claim in claims]
    p_values = [
        1.0 if estimate is None else verdicts.p_value(estimate, claim.expected, claim.matters)
        for claim, (estimate, _) in zip(claims, found, strict=True)
    ]
    adjusted = statistics.holm(p_values).tolist() if claims else []
    return [
        _row(claim, estimate, missing | _by_other_code(claim, of), p)
        for claim, (estimate, missing), p in zip(claims, found, adjusted, strict=True)
    ]


def _by_other_code(claim: Claim, of: Laboratory) -> dict[str, str]:
    """Return what has changed since, of each cell of a claim that ran with other code than there is now."""
    return {
        name: f"made with other code ({of.other_code[name]})" for name in claim.effect.cells() if name in of.other_code
    }


def _row(claim: Claim, estimate: Estimate | None, of_cells: dict[str, str], adjusted: float) -> Row:
    coverage = cells.BOOTSTRAP.coverage
    judgement = Judgement("not yet rerun", [])
    if estimate:
        judgement = verdicts.judged(estimate, claim.expected, claim.matters, adjusted, coverage)
    reasons = [*judgement.reasons, *_by_reason(of_cells)]
    referee = f"{claim.referee} [{'; '.join(reasons)}]" if reasons else claim.referee
    interval = estimate.interval(coverage) if estimate else None
    count = len(estimate.of_seeds) if estimate else 0
    return Row(claim, interval, count, adjusted if estimate else None, judgement.verdict, referee)


def _by_reason(of_cells: dict[str, str]) -> list[str]:
    """Return each reason once, after all the cells that it keeps out, or that it is to be known of."""
    return [
        f"{', '.join(name for name, why in of_cells.items() if why == reason)}: {reason}"
        for reason in dict.fromkeys(of_cells.values())
    ]


def table(found: Sequence[Row]) -> str:
    """Return the table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in found:
        claim = row.claim
        figures = ["", "", ""] if row.interval is None else [f"{figure:.4f}" for figure in row.interval]
        adjusted = "" if row.adjusted is None else f"{row.adjusted:.4f}"
        writer.writerow(
            [
                claim.claim, claim.citation, claim.paper_figure, expectation(claim), *figures, row.seeds, adjusted,
                row.verdict, row.referee, cells.command(claim.effect.cells()),
            ]
        )  # fmt: skip
    return text.getvalue()


def stored(root: Path) -> list[Row]:
    """Return the rows of metrics/claims.csv, each with its claim."""
    known = {claim.claim: claim for claim in read(root)}
    with open(root / OUT, encoding="utf-8", newline="") as file:
        return [
            Row(
                known[line["claim"]], interval_of(line), int(line["seeds"]),
                float(line["adjusted"]) if line["adjusted"] else None, line["verdict"], line["referee"],
            )
            for line in csv.DictReader(file)
        ]  # fmt: skip


def interval_of(line: dict[str, str]) -> Interval | None:
    """Return the interval of a line of metrics/claims.csv, None where nothing is measured yet."""
    return Interval(*(float(line[name]) for name in ("effect", "low", "high"))) if line["effect"] else None


def expectation(claim: Claim) -> str:
    """Return what is expected, in words."""
    if not isinstance(claim.expected, str):
        return "{:g} to {:g}".format(*claim.expected)
    signs = {"positive": "at least {:g}", "negative": "at most −{:g}", "none": "within ±{:g}"}
    return signs[claim.expected].format(claim.matters)


def markdown(found: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    lines = []
    for row in found:
        claim = row.claim
        sign = "+" if isinstance(claim.expected, str) else ""
        here = NOT_MEASURED
        if row.interval:
            mean, low, high = row.interval
            here = f"{mean:{sign}.4f} ({low:{sign}.4f} to {high:{sign}.4f}) {claim.unit}"
        adjusted = NOT_MEASURED if row.adjusted is None else f"{row.adjusted:.4f}"
        paper = f"{claim.citation}: {claim.paper_figure}"
        expected = expectation(claim)
        verdict = Marked(f"**{row.verdict}**")
        lines.append([claim.claim, paper, here, str(row.seeds), expected, adjusted, verdict, row.referee])
    columns = ["claim", "the paper", "here (95% interval)", "seeds", "expected", "p, adjusted", "verdict", "referee"]
    counts = {name: sum(row.verdict == name for row in found) for name in Verdict.__args__}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{tables.as_markdown(Table(columns, lines))}\n{len(found)} claims: {summary}.\n"


def main(arguments: list[str], root: Path = Path(".")) -> int:
    try:
        claims, study = read(root), params.load(root)
        effects = {f"claims.{place} ({claim.claim})": claim.effect for place, claim in enumerate(claims)}
        fairness.check(FILE, effects, study, params.preset(root))
        if arguments == ["--cells"]:
            names = dict.fromkeys(name for claim in claims for name in claim.effect.cells())
            print(" ".join(cells.target(name) for name in names))
            return 0
        found = rows(claims, laboratory.of(root, study))
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    write_text(root / OUT, table(found))
    print(markdown(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
