"""A plan beside what a workspace's stages have taken and held: costs.json in its folder (`python -m study.scale`)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import ParamsError, read_yaml
from tools import check
from tools.planning import whole
from tools.planning.tables import duration
from tools.planning.timing import rates
from tools.planning.timing.rates import Rates
from tools.planning.whole import Plan

COSTS = "costs.json"  # in a workspace's folder: each stage's seconds and peak_mb


class Beside(NamedTuple):
    """One stage, planned and measured."""

    planned_mb: float
    measured_mb: float
    planned_seconds: float
    measured_seconds: float

    @property
    def memory(self) -> float:
        """The plan's error in memory, of what was measured: -0.1 is a tenth too little."""
        return self.planned_mb / self.measured_mb - 1

    @property
    def time(self) -> float:
        """The same in time."""
        return self.planned_seconds / self.measured_seconds - 1


def lines(root: Path, folder: Path) -> Iterator[str]:
    """Yield the table of a workspace. Raises ParamsError where nothing of it was measured."""
    yield from table(*compared(root, folder))


def table(found: Mapping[str, Beside], left: Sequence[str]) -> Iterator[str]:
    """Yield what was planned beside what was measured; `left`: stages that no plan is made of."""
    yield f"{'stage':20}{'MB planned':>12}{'measured':>10}{'error':>8}{'time planned':>15}{'measured':>12}{'error':>8}"
    for name, one in found.items():
        yield (
            f"{name:20}{one.planned_mb:12,.0f}{one.measured_mb:10,.0f}{one.memory:+8.0%}"
            f"{duration(one.planned_seconds):>15}{duration(one.measured_seconds):>12}{one.time:+8.0%}"
        )
    if left:
        yield f"not planned, for they compute with no model: {', '.join(left)}"


def compared(root: Path, folder: Path) -> tuple[dict[str, Beside], list[str]]:
    """Return the stages of a workspace that were measured to their end, and those that no plan is made of."""
    place = root / folder
    costs = _costs(place / COSTS)
    params = check.whole(read_yaml(place / "params.yaml"))
    plan = whole.of_params(params, place)
    if plan is None:
        raise ParamsError(f"{place}: the model's sizes are not known; run the workspace's pretrain first")
    from tools.planning.timing import calibration  # here, for it loads torch

    seconds = planned_seconds(params, plan, calibration.measured(params, plan.sizes, plan.work))
    ended = {name: cost for name, cost in costs.items() if cost["whole"]}
    found = {
        name: Beside(
            plan.held[stage].total / 2**20, cost["peak_mb"], seconds[stage], cost["seconds"]
        )
        for name, cost in ended.items()
        if (stage := name.partition("@")[0]) in plan.work
    }  # fmt: skip
    return found, [name for name in ended if name.partition("@")[0] not in plan.work]


def planned_seconds(params: Any, plan: Plan, measured: Rates) -> dict[str, float]:
    """Return how long each stage takes at measured rates, states that are kept with it."""
    every = params.checkpoints.every_seconds
    return {
        name: rates.with_states(
            rates.seconds(stage, plan.sizes, measured, params.runtime), plan.held[name], every, measured
        )
        for name, stage in plan.work.items()
    }


def _costs(file: Path) -> Mapping[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{file}: no such file; python -m study.scale measures presets") from None
    except ValueError as error:
        raise ParamsError(f"{file}: not JSON: {error}") from None
