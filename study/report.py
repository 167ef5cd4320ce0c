"""The laboratory as one offline page: seeds, claims, plots, every cell → metrics/study/report.html."""

import csv
import json
from pathlib import Path

from rlhf.evaluation.report_page import Plots, Section, Table, page
from rlhf.runtime.files import write_text
from study import claims, results, tables

OUT = Path("metrics/study/report.html")
SHOWN = ("claim", "verdict", "effect", "low", "high", "expected", "paper_figure", "citation")  # of claims.COLUMNS
HEADLINE = "What RLHF did here, over three seeds, and what the papers say"
LEAD = (
    "Cells are changed pipelines: study/params.yaml says what each changes. Intervals are over prompts, within seeds.",
    "Everything on this page is built from metrics/study/*.json and metrics/claims.csv.",
)


def main(root: Path = Path(".")) -> None:
    seeds, laboratory = (
        json.loads((root / path).read_text(encoding="utf-8")) for path in (results.SEEDS, results.LABORATORY)
    )
    with open(root / claims.OUT, encoding="utf-8", newline="") as file:
        rows = [[row[name] for name in SHOWN] for row in csv.DictReader(file)]
    drawn = [path.read_text(encoding="utf-8") for path in sorted((root / results.PLOTS).glob("*.svg"))]
    of_cells = tables.laboratory(laboratory)
    sections = [
        _section(tables.seeds(seeds)),
        _section(Table(SHOWN, rows, "The papers' claims, measured", text_columns=2)),
        Section("Plots", "", [Plots(drawn)]),
        *map(_section, of_cells),
    ]
    write_text(root / OUT, page("The laboratory", HEADLINE, LEAD, sections))


def _section(table: Table) -> Section:
    return Section(table.caption, "", [table._replace(caption="")])


if __name__ == "__main__":
    main()
