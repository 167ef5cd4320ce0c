"""Forms of prompts and heads, GPT-1's kinds of tasks and stories of arithmetic → metrics/study/forms.csv.

    python -m study.forms                            the table of all cells that measured them
    python -m study.forms --run FOLDER --out FILE    measures a folder where the pipeline has run; FILE is .csv or .json

A run's policies are those that its data/ holds: base, SFT, FeedME, the last round's PPO. What a condition is called:
`head_probe`, `head_tuned`; `<prefix|cloze>_<zero|one|few>_<sum|mean|calibrated>`; of stories `<direct|chain|program>_
<zero|one|few>`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.models import placement
from rlhf.params.base import ParamsError, load
from rlhf.params.evaluate import EvaluateInputs
from rlhf.runtime.files import write_text
from study import cells, params
from study.forms import measuring, table

OUT = Path("metrics/study/forms.csv")
MEASURE = "forms"


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code, 2 for what cannot be measured."""
    asked = argparse.ArgumentParser(prog="python -m study.forms", description=__doc__.split("\n")[0])  # pyright: ignore[reportOptionalMemberAccess]
    asked.add_argument("--run", type=Path, help="a folder with params.yaml and data/")
    asked.add_argument("--out", type=Path, help="of --run: a .csv or .json file")
    given = asked.parse_args(arguments)
    if (given.run is None) != (given.out is None) or (given.out and given.out.suffix not in (".csv", ".json")):
        asked.error("--run FOLDER and --out FILE (.csv or .json) go together")
    try:
        found = of_cells(root) if given.run is None else {str(given.run): of_run(given.run, params.load(root).forms)}
    except (ParamsError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    rows = [row for name, one in found.items() for row in table.rows(name, one)]
    is_json = given.out is not None and given.out.suffix == ".json"
    write_text(given.out or root / OUT, json.dumps(found) + "\n" if is_json else table.as_csv(rows))
    print(table.as_markdown(rows))
    for name, one in found.items():
        for what in ("left_out", "refused", "unended"):
            if one[what]:
                print(f"{name}: {what}: {json.dumps(one[what])}")
    return 0


def of_cells(root: Path) -> dict[str, dict[str, Any]]:
    """Return what cells measured, by name; those that have not run are left out, and named."""
    found = {}
    for name, cell in params.load(root).forms_cells.items():
        try:
            if MEASURE in cell.measures:
                found[name] = cells.read(root, name)[MEASURE]
        except cells.Missing as why:
            print(f"left out: {why}", file=sys.stderr)
    return found


def of_run(folder: Path, settings: params.Forms) -> dict[str, Any]:
    """Measure the policies of a folder. Raises ParamsError for its params, FileNotFoundError without a policy."""
    own = load(folder, EvaluateInputs)
    placement.prepare(own.runtime, own.seed)
    return measuring.measure(folder / "data", [*own.rounds][-1], own.runtime, settings)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
