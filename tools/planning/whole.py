"""A whole plan: sizes, rows, work, memory and disk of every stage, from params and data alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.planning import cuts, disk, memory, rows, sizes, stages
from tools.planning.cuts import Cuts
from tools.planning.disk import Disk
from tools.planning.rows import Known
from tools.planning.sizes import Dimensions
from tools.planning.terms import Held
from tools.planning.work import Stage


class Plan(NamedTuple):
    sizes: Dimensions
    known: Known
    cut: Cuts
    work: dict[str, Stage]
    held: dict[str, Held]
    disk: dict[str, Disk]
    times: dict[str, int]  # how often each stage runs


def of_params(
    params: Any,
    root: Path,
    model: Dimensions | None = None,
    look: bool = True,
    counts: Mapping[str, int] | None = None,
) -> Plan | None:
    """Return the plan; None where the model's sizes are not known yet.

    model: in place of the params' own. look: at data/collect_prompts; else rows are as long as params allow. counts: of
    records, in place of those that are known (rows.SETS).
    """
    found = model or sizes.of_params(params, root)
    if found is None:
        return None
    known = rows.known(params, root) if look else rows.allowed(params)
    return of_known(params, found, rows.with_counts(known, params, counts or {}))


def of_known(params: Any, model: Dimensions, known: Known) -> Plan:
    """Return the plan of a model and of rows that are known."""
    cut = cuts.of_params(params, known)
    work = stages.of_params(params, known, cut)
    held = memory.of_params(params, model, known, cut, work)
    kept, times = disk.of_params(params, model, held), {name: stages.times(params, name) for name in work}
    return Plan(model, known, cut, work, held, kept, times)
