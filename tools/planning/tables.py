"""A plan as lines of text: what each stage computes, holds, takes and keeps. torch is not loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.planning import terms, whole
from tools.planning.disk import Disk
from tools.planning.needs import short
from tools.planning.terms import Held
from tools.planning.whole import Plan

TITLES = {"cache": "KV cache", "heap": "heap waste"}  # of columns
WORK = (
    "  tokens: read or written by a model; learned: of these with a gradient; FLOPs: multiplications and additions "
    "(T: 1e12, P: 1e15, E: 1e18); memory: the most that a process holds"
)
MEMORY = (
    "  frozen: models that are only read; decoder: its copy of the weights; copies: the best epoch's, an average; "
    "heap waste: between parts of unlike size. Gradients with activations, and KV cache with decoder, take turns: the "
    "larger of the two is in the total"
)


def weights(plan: Plan) -> str:
    """Return the size of the model in words."""
    number = plan.sizes.policy()
    return f"{number / 1e9:.3g} billion weights" if number >= 1e9 else f"{number / 1e6:.3g} million weights"


def memory_lines(params: Any, root: Path) -> Iterator[str]:
    """Yield what `tools.check` says of memory, of rows as long as params allow; one line that says why of none."""
    plan = whole.of_params(params, root, look=False)
    if plan is None:
        yield "memory: the model's sizes are known when it is read (data/pretrain); no estimate before"
        return
    yield (
        f"memory on paper, MB a process, of {weights(plan)}, rows as long as params "
        f"allow, {terms.PROGRAM / 1e6:.0f} of them the program itself (python -m tools.plan: time, disk, what fits):"
    )
    yield from memory(plan.held)


def memory(held: Mapping[str, Held]) -> Iterator[str]:
    """Yield the table of what stages hold, in millions of bytes."""
    names = [TITLES.get(name, name) for name in (*terms.COLUMNS, "heap", "total")]
    yield f"{'stage':16}" + "".join(f"{name:>12}" for name in names)
    for stage, one in held.items():
        numbers = [getattr(one, name) for name in terms.COLUMNS]
        yield f"{stage:16}" + "".join(f"{number / 1e6:12,.0f}" for number in (*numbers, one.heap, one.total))


def work(plan: Plan, seconds: Mapping[str, float] | None) -> Iterator[str]:
    """Yield the table of what stages compute, and how long that takes where a rate is known."""
    yield f"{'stage':16}{'tokens':>10}{'learned':>10}{'FLOPs':>10}{'time':>12}{'memory, GB':>12}"
    rows = {name: _counted(plan, name, seconds) for name in plan.work}
    for name, row in rows.items():
        yield _work_row(name, row, plan.held[name].total, seconds is not None)
    total = [sum(row[place] for row in rows.values()) for place in range(4)]
    yield _work_row("all", total, max(one.total for one in plan.held.values()), seconds is not None)
    if again := [name for name, times in plan.times.items() if times > 1]:
        yield (
            f"  {', '.join(again)}: {plan.times[again[0]]} rounds together, each as the first; that a later one "
            "also learns from comparisons of earlier ones is not counted"
        )


def _counted(plan: Plan, name: str, seconds: Mapping[str, float] | None) -> list[float]:
    """Return a stage's tokens, those of them that are learned, operations and seconds, of all rounds."""
    stage = plan.work[name]
    once = (stage.tokens, stage.learned, stage.flops(plan.sizes), seconds[name] if seconds else 0.0)
    return [number * plan.times[name] for number in once]


def _work_row(name: str, row: list[float], held: float, timed: bool) -> str:
    tokens, learned, flops, seconds = row
    time = duration(seconds) if timed else "-"
    return f"{name:16}{short(tokens):>10}{short(learned):>10}{short(flops):>10}{time:>12}{held / 1e9:12.2f}"


def disk(found: Mapping[str, Disk]) -> Iterator[str]:
    """Yield what a run keeps on the disk."""
    kept = {name: sum(getattr(one, name) for one in found.values()) for name in ("model", "cache", "mlflow")}
    states = max((one.states for one in found.values()), default=0.0)
    yield (
        f"disk: {size(sum(kept.values()))} stay: models {size(kept['model'])}, DVC's copies {size(kept['cache'])}, "
        f"MLflow's {size(kept['mlflow'])}; at most {size(states)} more for the states (checkpoints) of the stage that "
        "trains"
    )


def size(number: float) -> str:
    """Return bytes in the unit in which they are read."""
    return f"{number / 1e9:,.3g} GB" if number >= 1e9 else f"{number / 1e6:.3g} MB"


def duration(seconds: float) -> str:
    """Return seconds in the unit in which they are read."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
