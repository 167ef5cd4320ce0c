"""What a cell costs, before it runs.

    python -m study.costs           every cell that is to be run, and their sum; what cells share is counted once
    python -m study.costs NAME      one cell; a stage that a finished cell has made is taken from DVC's cache
    python -m study.costs --measure metrics/study/costs.json anew, from the MLflow runs of the cells that ran here

A stage's time is its operations, planned from the cell's params (tools/planning), at the median rate at which that
stage has run; a stage that computes with no model takes its median time. Wall time, of the machine that is named.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlhf.params.base import ParamsError
from study import params
from study.costs import measured, steps
from study.evidence import laboratory
from study.params import Study
from tools.looking import locks, piped
from tools.planning.tables import duration

LOCK = "study/dvc.lock"


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print the costs; returns the exit code. Raises ParamsError for mistakes."""
    study = params.load(root)
    if list(arguments) == [measured.MEASURE]:
        measured.measure(root, study)
        return 0
    study.refuse_unknown(arguments)
    if cut := [*locks.mistakes(root, LOCK)]:
        raise ParamsError("\n".join(cut))
    for line in lines(root, study, arguments):
        print(line)
    return 0


def lines(root: Path, study: Study, names: Sequence[str]) -> Iterator[str]:
    """Yield what these cells cost, or all that are to be run."""
    kept = measured.read(root)
    of = laboratory.of(root, study)
    done = {name for name in study.everything if name not in of.unusable and name not in of.other_code}
    asked = names or [name for name in study.everything if name not in done]
    made = {step.made_of for name in done for step in steps.steps(root, study.everything[name])}
    total, unknown = 0.0, list[str]()
    for name in asked:
        cell = study.everything[name]
        own = [step for step in steps.steps(root, cell) if step.made_of not in made]
        made |= {step.made_of for step in own}
        flops = steps.operations(root, cell) if own else {}
        parts = [(step.stage, kept.seconds(step.stage, flops.get(step.stage, 0.0))) for step in own] + [
            ("measuring", kept.measuring.get(measured.measures(cell)))
        ]
        known = defaultdict[str, float](float)
        for stage, seconds in parts:
            known[stage] += seconds or 0.0
        unknown += [stage for stage, seconds in parts if seconds is None]
        total += sum(known.values())
        each = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in known.items() if seconds)
        yield f"{name}: {duration(sum(known.values()))}{f' ({each})' if each else ''}"
    if len(asked) != 1:
        yield f"{len(asked)} cells, {duration(total)} together; {len(done)} have run already"
    if unknown:
        yield f"not counted, for nothing was measured of it: {', '.join(dict.fromkeys(unknown))}"
    yield f"  measured on {kept.machine}; what is in DVC's cache takes no time"


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
