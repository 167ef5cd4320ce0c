"""What stages and measures of cells that ran here took → metrics/study/costs.json."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import ParamsError
from rlhf.runs import machine
from rlhf.runtime.files import write_json
from study import cells
from study.costs import steps
from study.params import Cell, Study

FILE = Path("metrics/study/costs.json")
MEASURE = "--measure"


class Kept(NamedTuple):
    """What was measured."""

    per_flop: Mapping[str, float]  # seconds, by stage
    each: Mapping[str, float]  # seconds of a stage that computes with no model
    measuring: Mapping[str, float]  # seconds that a cell is measured for, by its measures
    machine: str

    def seconds(self, stage: str, flops: float) -> float | None:
        """Return what a stage of so many operations takes; None where nothing was measured of it."""
        if flops:
            return flops * self.per_flop[stage] if stage in self.per_flop else None
        return self.each.get(stage)


def read(root: Path) -> Kept:
    """Return what was measured. Raises ParamsError where nothing was."""
    path = root / FILE
    if not path.exists():
        raise ParamsError(f"{path}: it is not there; git checkout -- {FILE}, or python -m study.costs {MEASURE}")
    return Kept(**json.loads(path.read_text(encoding="utf-8")))


def measures(cell: Cell) -> str:
    return " ".join(cell.measures)


def measure(root: Path, study: Study) -> None:
    """Write what the cells' stages took where they ran to their end, by their MLflow runs."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{(root / 'mlflow.db').resolve()}")
    experiment = client.get_experiment_by_name("study")
    runs = client.search_runs([experiment.experiment_id], max_results=10_000) if experiment else []
    finished = [run for run in runs if run.info.status == "FINISHED" and run.info.end_time]
    pipelines = {run.info.run_id: run for run in finished if "mlflow.parentRunId" not in run.data.tags}
    per_flop, each, measuring = (defaultdict[str, list[float]](list) for _ in range(3))
    for run in finished:
        parent = pipelines.get(run.data.tags.get("mlflow.parentRunId", ""))
        cell = study.everything.get(_name(parent)) if parent else None
        if cell is None:
            continue
        stage, seconds = _name(run).partition("@")[0], _seconds(run)
        flops = steps.operations(root, cell).get(stage, 0.0)
        into, value = (per_flop, seconds / flops) if flops else (each, seconds)
        into[stage].append(value)
    for run in pipelines.values():
        file = root / cells.FOLDER / f"{_name(run)}.json"
        measured = file.stat().st_mtime - (run.info.end_time or 0) / 1000 if file.exists() else 0.0
        if _name(run) in study.everything and measured > 0:
            measuring[measures(study.everything[_name(run)])].append(measured)
    if not per_flop:
        raise ParamsError(f"{root / 'mlflow.db'}: no cell has run here; python -m study.cell seed_17")
    here = machine.describe()
    place = f"{here['processor']}, {here['cores']} cores"
    kept = Kept(_medians(per_flop), _medians(each), _medians(measuring), place)
    write_json(root / FILE, kept._asdict())


def _name(run: Any) -> str:
    return run.info.run_name.partition(" ")[0]


def _seconds(run: Any) -> float:
    return (run.info.end_time - run.info.start_time) / 1000


def _medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(f"{statistics.median(values):.4g}") for name, values in sorted(found.items())}
