"""The laboratory as one offline page: what was found, plots, seeds, claims, every cell → metrics/study/report.html."""

import csv
import json
from pathlib import Path

from rlhf.evaluation.report_page import Notes, Plots, Section, Table, page
from rlhf.evaluation.typography import MISSING, interval
from rlhf.runtime.files import write_text
from study import claims, results, tables, words
from tools.looking import piped

OUT = Path("metrics/study/report.html")
LEAD = (
    "Cells are changed pipelines: study/params.yaml says what each changes. Intervals are over prompts, within seeds; "
    "those of claims know of seeds too.",
    "Everything on this page is built from metrics/study/*.json, metrics/claims.csv and claims.yaml.",
)
CLAIMS_TEXT = (
    "Each claim is one effect with its interval over seeds and prompts, and claims.yaml says what would confirm it. It "
    "takes an interval beyond the smallest effect of interest, three seeds, and a p-value that survives the correction "
    "for all claims (Holm). Rows that are set apart did not hold."
)


def main(root: Path = Path(".")) -> int:
    """Write the page; returns the exit code."""
    seeds, laboratory = (
        json.loads((root / path).read_text(encoding="utf-8")) for path in (results.SEEDS, results.LABORATORY)
    )
    with open(root / claims.OUT, encoding="utf-8", newline="") as file:
        measured = list(csv.DictReader(file))
    units = {claim.claim: claim.unit for claim in claims.read(root)}
    drawn = [path.read_text(encoding="utf-8") for path in sorted((root / results.PLOTS).glob("*.svg"))]
    sections = [
        Section("What was found", "", [Notes(words.notes(seeds, laboratory, measured))]),
        Section("Plots", "", [Plots(drawn)]),
        _section(tables.seeds(seeds)),
        Section("The papers' claims, measured", CLAIMS_TEXT, [claims_table(measured, units)]),
        *map(_section, tables.laboratory(laboratory)),
    ]
    write_text(root / OUT, page("The laboratory", words.headline(seeds, measured), LEAD, sections))
    return 0


def claims_table(measured: list[dict[str, str]], units: dict[str, str]) -> Table:
    """Return a row a claim: the verdict and why, what was measured, what the paper says."""
    rows = []
    for row in measured:
        found = claims.interval_of(row)
        is_difference = not row["expected"][0].isdigit()  # of a range the figure itself is looked at
        effect = interval(found, 3, sign=is_difference)
        says = f"{row['citation']}: {row['paper_figure']}"
        adjusted = row["adjusted"] or MISSING
        figures = [effect, row["seeds"], adjusted]
        rows.append(
            [row["claim"], *figures, row["verdict"], row["expected"], units[row["claim"]], row["referee"], says]
        )
    strong = [number for number, row in enumerate(rows) if row[4] == "not confirmed"]
    columns = ["claim", "here", "seeds", "p, adjusted", "verdict", "expected", "in", "referee", "the paper"]
    return Table(columns, rows, strong=strong, words=(0, 4, 5, 6, 7, 8))


def _section(table: Table) -> Section:
    return Section(table.caption, "", [table._replace(caption="")])


if __name__ == "__main__":
    piped.exit_with(main)
