"""Which stages a cell needs, which of them another cell has made as well, and what each computes."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.runs import lineage
from rlhf.runtime.flat import below, flatten
from study import params
from study.params import Cell
from tools import check, dvc_yaml
from tools.planning import whole

PIPELINE = Path("dvc.yaml")


class Step(NamedTuple):
    """A stage that a cell needs, for one round."""

    stage: str
    made_of: str  # a sum over the params that it and the stages before it read: equal ones make equal bytes


def steps(root: Path, cell: Cell) -> list[Step]:
    """Return the stages that a cell needs, in the order of dvc.yaml."""
    content = params.content(_preset(root), cell)
    pipeline = _pipeline(root)
    rounds = list(content["rounds"])
    found = []
    for stage in _needed(pipeline, {target.partition("@")[0] for target in cell.targets}):
        before = _needed(pipeline, {stage})
        read = below(flatten(content), {key for one in before for key in _sections(pipeline, one)})
        for name in rounds if "foreach" in pipeline["stages"][stage] else [""]:
            earlier = rounds[: rounds.index(name) + 1] if name else []  # a round builds on those before it
            text = json.dumps([stage, earlier, read])
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
    entries = {stage: dvc_yaml.definition(pipeline, stage) for stage in pipeline["stages"]}
    graph = {
        stage: {part: [{"path": path} for path in _paths(entry.get(part, []))] for part in ("deps", "outs")}
        for stage, entry in entries.items()
    }
    before = lineage.upstream(graph, [dep["path"] for stage in stages for dep in graph[stage]["deps"]])
    return [stage for stage in graph if stage in before or stage in stages]


def _paths(outs: Sequence[Any]) -> Iterator[str]:
    for out in outs:
        yield out if isinstance(out, str) else next(iter(out))


def _sections(pipeline: Any, stage: str) -> list[str]:
    """Return the params that a stage reads, dotted; of a round's own, all rounds."""
    return [str(key).removesuffix(".${key}") for key in dvc_yaml.definition(pipeline, stage).get("params", [])]
