"""One cell of the laboratory: a changed pipeline is run and measured → metrics/study/cells/<name>.json.

    python -m study.cell NAME

study/params.yaml says what a cell changes. All that other cells or the main pipeline have made comes from DVC's cache.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError, load
from rlhf.params.evaluate import EvaluateInputs
from rlhf.runtime.files import write_text
from study import measure, params, workspace
from study.evidence import made_with
from study.workspace import Finished
from tools import cell_code

OUT = Path("metrics/study/cells")
COLLECTING = ("collect_answers", "collect_comparisons")  # sections that make other comparisons


def main(arguments: list[str], root: Path = Path(".")) -> int:
    try:
        name = arguments[0]
        study = params.load(root)
        study.refuse_unknown([name])
        measured = run(root, name, study)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    write_text(root / OUT / f"{name}.json", json.dumps(measured, separators=(",", ":")) + "\n")
    workspace.remove(root / workspace.FOLDER / name)
    return 0


def run(root: Path, name: str, study: params.Study) -> dict[str, Any]:
    """Run a cell's workspace and return what was measured of it, and what it was made with."""
    cell = study.everything[name]
    asked, code = content(root, cell), cell_code.parts(cell_code.sums(params.listing(study, name), root))
    folder = workspace.prepare(root, name, asked)
    workspace.reproduce(folder, cell.targets)
    held_out = folder / "data/collect_comparisons/r1"
    if "reward_model" in cell.measures and any(key.startswith(COLLECTING) for key in cell.change):
        plain = cell.model_copy(update={"change": {}})
        shared = workspace.prepare(root, f"shared_{cell.seed}", content(root, plain))
        workspace.reproduce(shared, ["collect_comparisons@r1"])
        held_out = shared / "data/collect_comparisons/r1"
    done = Finished(folder, load(folder, EvaluateInputs), study.settings, held_out, study.forms)
    return measure.of_workspace(done, cell.measures) | {"made_with": made_with.record(cell, asked, code)}


def content(root: Path, cell: params.Cell) -> dict[str, Any]:
    """Return the whole params of a cell: the laptop preset, its seed, its changes."""
    return params.content(params.preset(root), cell)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
