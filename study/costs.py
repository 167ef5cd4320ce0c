"""What a cell costs, before it runs.

    python -m study.costs           every cell that is to be run, and their sum; what cells share is counted once
    python -m study.costs NAME      one cell; a stage that a finished cell has made is taken from DVC's cache
    python -m study.costs --measure metrics/study/costs.json anew, from the MLflow runs of the cells that ran here

A stage's time is its operations, planned from the cell's params (tools/planning), at the median rate at which that
stage has run; a stage that computes with no model takes its median time. Wall time, of the machine that is named.
"""

import hashlib
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import ParamsError
from rlhf.runs import machine
from rlhf.runtime.files import write_json
from study import cells, params
from study.evidence import laboratory
from study.params import Cell, Study
from tools import check, dvc_yaml
from tools.looking import piped
from tools.planning import whole
from tools.planning.tables import duration

FILE = Path("metrics/study/costs.json")
MEASURE = "--measure"
PIPELINE = Path("dvc.yaml")


class Step(NamedTuple):
    """A stage that a cell needs, for one round."""

    stage: str
    made_of: str  # a sum over the params that it and the stages before it read: equal ones make equal bytes


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


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print the costs; returns the exit code. Raises ParamsError for mistakes."""
    study = params.load(root)
    if list(arguments) == [MEASURE]:
        measure(root, study)
        return 0
    unknown = [name for name in arguments if name not in study.everything]
    if unknown:
        raise ParamsError(f"{params.FILE}: no cell {unknown[0]!r}; it has {', '.join(study.everything)}")
    for line in lines(root, study, arguments):
        print(line)
    return 0


def lines(root: Path, study: Study, names: Sequence[str]) -> Iterator[str]:
    """Yield what these cells cost, or all that are to be run."""
    kept = read(root)
    of = laboratory.of(root, study)
    done = {name for name in study.everything if name not in of.unusable and name not in of.other_code}
    asked = names or [name for name in study.everything if name not in done]
    made = {step.made_of for name in done for step in steps(root, study.everything[name])}
    total, unknown = 0.0, list[str]()
    for name in asked:
        cell = study.everything[name]
        own = [step for step in steps(root, cell) if step.made_of not in made]
        made |= {step.made_of for step in own}
        flops = operations(root, cell) if own else {}
        parts = [(step.stage, kept.seconds(step.stage, flops.get(step.stage, 0.0))) for step in own] + [
            ("measuring", kept.measuring.get(_measures(cell)))
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


def read(root: Path) -> Kept:
    """Return what was measured. Raises ParamsError where nothing was."""
    path = root / FILE
    if not path.exists():
        raise ParamsError(f"{path}: it is not there; git checkout -- {FILE}, or python -m study.costs {MEASURE}")
    return Kept(**json.loads(path.read_text(encoding="utf-8")))


def steps(root: Path, cell: Cell) -> list[Step]:
    """Return the stages that a cell needs, in the order of dvc.yaml."""
    content = params.content(_preset(root), cell)
    pipeline = _pipeline(root)
    rounds = list(content["rounds"])
    found = []
    for stage in _needed(pipeline, {target.partition("@")[0] for target in cell.targets}):
        for name in rounds if "foreach" in pipeline["stages"][stage] else [""]:
            before = _needed(pipeline, {stage})
            sections = sorted({key for one in before for key in _sections(pipeline, one)})
            # a round builds on those before it
            text = json.dumps([stage, rounds[: rounds.index(name) + 1] if name else [], _chosen(content, sections)])
            found.append(Step(stage, hashlib.sha256(text.encode()).hexdigest()))
    return found


def operations(root: Path, cell: Cell) -> dict[str, float]:
    """Return {stage: operations} of one round of a cell; {} where a model's size is not known before it is read."""
    return _flops(root, json.dumps(params.content(_preset(root), cell) | {"seed": 0}))


@cache
def _preset(root: Path) -> dict[str, Any]:
    return params.preset(root)


@cache
def _pipeline(root: Path) -> Any:
    return dvc_yaml.read(root / PIPELINE)


@cache
def _flops(root: Path, content: str) -> dict[str, float]:
    plan = whole.of_params(check.whole(json.loads(content)), root, look=False)
    return {stage: work.flops(plan.sizes) for stage, work in plan.work.items()} if plan else {}


def _needed(pipeline: Any, stages: Collection[str]) -> list[str]:
    """Return these stages and those before them, in the order of dvc.yaml."""
    made = {
        str(path).removesuffix("/").removesuffix("/${key}"): stage
        for stage in pipeline["stages"]
        for path in _paths(dvc_yaml.definition(pipeline, stage).get("outs", []))
    }
    found, waiting = set[str](), [*stages]
    while waiting:
        stage = waiting.pop()
        if stage not in found:
            found.add(stage)
            deps = map(str, dvc_yaml.definition(pipeline, stage).get("deps", []))
            waiting += [maker for dep in deps for path, maker in made.items() if _leads(dep, path)]
    return [stage for stage in pipeline["stages"] if stage in found]


def _leads(dep: str, path: str) -> bool:
    return dep == path or dep.startswith(f"{path}/")


def _paths(outs: Sequence[Any]) -> Iterator[str]:
    for out in outs:
        yield out if isinstance(out, str) else next(iter(out))


def _sections(pipeline: Any, stage: str) -> list[str]:
    """Return the params that a stage reads, dotted; of a round's own, all rounds."""
    return [str(key).removesuffix(".${key}") for key in dvc_yaml.definition(pipeline, stage).get("params", [])]


def _chosen(content: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    found = {}
    for key in keys:
        value: Any = content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[key] = value
    return found


def _measures(cell: Cell) -> str:
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
        flops = operations(root, cell).get(stage, 0.0)
        into, value = (per_flop, seconds / flops) if flops else (each, seconds)
        into[stage].append(value)
    for run in pipelines.values():
        file = root / cells.FOLDER / f"{_name(run)}.json"
        measured = file.stat().st_mtime - (run.info.end_time or 0) / 1000 if file.exists() else 0.0
        if _name(run) in study.everything and measured > 0:
            measuring[_measures(study.everything[_name(run)])].append(measured)
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


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
