"""A plan as lines of text: what each stage computes, holds, takes and keeps. torch is not loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.planning import terms, whole
from tools.planning.disk import Disk
from tools.planning.needs import short
from tools.planning.terms import Held
from tools.planning.whole import Plan
from tools.planning.work import Stage


def memory_lines(params: Any, root: Path) -> Iterator[str]:
    """Yield what `tools.check` says of memory, of rows as long as params allow; one line that says why of none."""
    plan = whole.of_params(params, root, look=False)
    if plan is None:
        yield "memory: the model's sizes are known when it is read (data/pretrain); no estimate before"
        return
    yield (
        f"memory on paper, MB a process, of {plan.sizes.policy() / 1e6:.3g} million weights, rows as long as params "
        f"allow, {terms.PROGRAM / 1e6:.0f} of them the program itself (python -m tools.plan: time, disk, what fits):"
    )
    yield from memory(plan.held)


def memory(held: Mapping[str, Held]) -> Iterator[str]:
    """Yield the table of what stages hold, in millions of bytes."""
    yield f"{'stage':16}" + "".join(f"{name:>12}" for name in (*terms.COLUMNS, "heap", "total"))
    for stage, one in held.items():
        numbers = [getattr(one, name) for name in terms.COLUMNS]
        yield f"{stage:16}" + "".join(f"{number / 1e6:12,.0f}" for number in (*numbers, one.heap, one.total))


def work(plan: Plan, seconds: Mapping[str, float] | None) -> Iterator[str]:
    """Yield the table of what stages compute, and how long that takes where a rate is known."""
    yield f"{'stage':16}{'tokens':>10}{'learned':>10}{'FLOPs':>10}{'time':>12}{'memory, GB':>12}"
    for name, stage in plan.work.items():
        time = duration(seconds[name]) if seconds else "-"
        yield _work_row(name, stage, plan, time)
    total = sum(stage.flops(plan.sizes) for stage in plan.work.values())
    tokens = sum(stage.tokens for stage in plan.work.values())
    learned = sum(stage.learned for stage in plan.work.values())
    time = duration(sum(seconds.values())) if seconds else "-"
    most = max(one.total for one in plan.held.values())
    yield f"{'all':16}{short(tokens):>10}{short(learned):>10}{short(total):>10}{time:>12}{most / 1e9:12.2f}"


def _work_row(name: str, stage: Stage, plan: Plan, time: str) -> str:
    flops = stage.flops(plan.sizes)
    held = plan.held[name].total / 1e9
    return f"{name:16}{short(stage.tokens):>10}{short(stage.learned):>10}{short(flops):>10}{time:>12}{held:12.2f}"


def disk(found: Mapping[str, Disk]) -> Iterator[str]:
    """Yield what a run keeps on the disk."""
    kept = {name: sum(getattr(one, name) for one in found.values()) for name in ("model", "cache", "mlflow")}
    states = max((one.states for one in found.values()), default=0.0)
    yield (
        f"disk: {sum(kept.values()) / 1e9:.2f} GB stay: models {kept['model'] / 1e9:.2f}, DVC's copies "
        f"{kept['cache'] / 1e9:.2f}, MLflow's {kept['mlflow'] / 1e9:.2f}; at most {states / 1e9:.2f} more for the "
        "states of the stage that trains"
    )


def duration(seconds: float) -> str:
    """Return seconds in the unit in which they are read."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
