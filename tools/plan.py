"""Says before a run what it will compute, hold in memory, keep on the disk and take, and which params do not fit.

    python -m tools.plan                            of params.yaml, at the rate that this machine is measured at
    python -m tools.plan --preset instructgpt --shape gpt3-xl --rows sft=12725,ppo=31144 --gpus 8 --memory 80 --rate 200
    python -m tools.plan --against .study/scale-tiny    beside what a run has taken and held (python -m study.scale)

From params and data/collect_prompts alone; before that is made, rows are as long as params allow. --rate: TFLOP/s that
a process reaches in training, instead of measuring; times are then those of products alone. --memory: GB of a process
(left out: this machine's). --gpus: processes, one a GPU. --sharded: weights, gradients and moments in shards. --rows:
numbers of records, in place of those that are known.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.models.shapes import SHAPES
from rlhf.params.base import ParamsError, read_yaml
from rlhf.secrets import guard
from tools import check, presets
from tools.looking import piped
from tools.planning import fitting, needs, rows, sizes, tables, terms, whole
from tools.planning.fitting import Misfit, Room
from tools.planning.sizes import Dimensions
from tools.planning.timing import against, rates
from tools.planning.timing.rates import Given
from tools.planning.whole import Plan


class Asked(NamedTuple):
    """What is planned."""

    name: str
    params: Any
    root: Path  # with the data, if there are any
    model: Dimensions | None  # in place of the params' own


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Print the plan; returns the exit code: 2 for mistakes in params or flags, 1 where something does not fit."""
    chosen = _parsed(arguments)
    guard.install()
    try:
        if chosen.against is not None:
            for line in against.lines(root, chosen.against):
                print(line)
            return 0
        asked = _asked(chosen, root)
        plan = whole.of_params(asked.params, asked.root, asked.model, counts=chosen.rows)
        if plan is None:
            raise ParamsError("the model's sizes are not known before it is read; give a named shape: --shape gpt2")
        seconds, said = _seconds(chosen, asked.params, plan)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    room = _room(chosen, asked.params)
    misfits = fitting.misfits(asked.params, plan.sizes, plan.known, room) if room else []
    for line in (*_lines(asked, plan, seconds, said, room), *_of_fit(misfits, room)):
        print(line)
    return 1 if misfits else 0


def _of_fit(misfits: list[Misfit], room: Room | None) -> Iterator[str]:
    if room is None:
        yield "fit: not asked, give --memory GB"
    elif not misfits:
        yield f"fit: every stage fits into the {room.bytes / 1e9:.3g} GB that a process has"
    for misfit in misfits:
        yield from misfit.lines(room or Room(0.0))


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", help="a preset in place of params.yaml")
    parser.add_argument("--shape", choices=SHAPES, help="a named shape in place of the model")
    parser.add_argument("--vocab", type=_count, metavar="N", help=f"tokens of --shape's vocabulary ({sizes.VOCAB})")
    parser.add_argument("--rows", type=_rows, default={}, metavar="SET=N,...", help=f"records: {', '.join(rows.SETS)}")
    parser.add_argument("--gpus", type=_count, metavar="N", help="processes, one a GPU")
    parser.add_argument("--memory", type=_positive, metavar="GB", help="of a process")
    parser.add_argument("--rate", type=_positive, metavar="TFLOPS", help="that a process reaches in training")
    parser.add_argument("--bandwidth", type=_positive, metavar="GB/S", help="with --rate: with which decoding reads")
    parser.add_argument("--sharded", action="store_true", help="weights, gradients and moments in shards (FSDP)")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a workspace whose stages have run")
    parser.add_argument("--no-time", action="store_true", help="measure nothing")
    chosen = parser.parse_args(arguments)
    if chosen.vocab and not chosen.shape:
        parser.error("--vocab is of --shape: give both")
    if chosen.bandwidth and not chosen.rate:
        parser.error("--bandwidth goes with --rate")
    if chosen.rate and chosen.no_time:
        parser.error("expected one of --rate and --no-time")
    if chosen.sharded and not chosen.gpus:
        parser.error("--sharded: among how many? give --gpus")
    others = ("preset", "shape", "rows", "gpus", "memory", "rate", "sharded", "no_time")
    if chosen.against and (given := [name for name in others if getattr(chosen, name)]):
        parser.error(f"--against takes its params from the folder; leave out --{given[0].replace('_', '-')}")
    return chosen


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return number


def _rows(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in rows.SETS or not number.isdigit():
            raise argparse.ArgumentTypeError(f"expected SET=N of {', '.join(rows.SETS)}, got {part!r}")
        found[name] = int(number)
    return found


def _asked(chosen: argparse.Namespace, root: Path) -> Asked:
    """Return what flags and params ask for. Raises ParamsError for params that are none."""
    path = presets.path_of(root, chosen.preset, "--preset") if chosen.preset else root / "params.yaml"
    params = check.whole(read_yaml(path))
    name = chosen.preset or presets.name_of(root)
    if chosen.gpus:
        runtime = params.runtime.model_copy(update={"device": "cuda", "processes": chosen.gpus, "workers": 1})
        params = params.model_copy(update={"runtime": runtime})
    model = sizes.of_shape(chosen.shape, chosen.vocab or sizes.VOCAB) if chosen.shape else None
    own = not chosen.preset or path.read_bytes() == (root / "params.yaml").read_bytes()
    return Asked(name, params, root if own else root / "nowhere", model)  # data here are params.yaml's


def _seconds(chosen: argparse.Namespace, params: Any, plan: Plan) -> tuple[Mapping[str, float] | None, str]:
    """Return each stage's seconds, and where they come from."""
    if chosen.no_time:
        return None, "time: not asked for (--no-time)"
    if chosen.rate:
        given = Given(chosen.rate * 1e12, chosen.bandwidth * 1e9 if chosen.bandwidth else None)
        found = {name: rates.seconds_at(one, plan.sizes, given, params.runtime) for name, one in plan.work.items()}
        return found, f"time: of products alone, at {chosen.rate:g} TFLOP/s a process, as given"
    if chosen.gpus:
        return None, "time: give what a GPU reaches, --rate TFLOPS; this machine's rate says nothing of it"
    from tools.planning.timing import calibration  # here, for it loads torch

    measured = calibration.measured(params, plan.sizes, plan.work)
    return against.planned_seconds(params, plan, measured), (
        f"time: at rates of this machine, measured in {measured.took:.0f} s; learning parts reach "
        f"{measured.flops / 1e9:.3g} GFLOP/s"
    )


def _room(chosen: argparse.Namespace, params: Any) -> Room | None:
    sharded = chosen.sharded or params.runtime.sharding is not None
    if chosen.memory:
        return Room(chosen.memory * 1e9, params.runtime.processes, sharded)
    processes = params.runtime.processes
    return None if params.runtime.device == "cuda" else Room(_of_machine() / processes, processes, sharded)


def _of_machine() -> float:
    """Return the bytes of this machine's memory."""

    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _lines(
    asked: Asked, plan: Plan, seconds: Mapping[str, float] | None, said: str, room: Room | None
) -> Iterator[str]:
    held = fitting.held(asked.params, plan.sizes, plan.known, room) if room and room.sharded else plan.held
    plan = plan._replace(held=held)
    yield f"{asked.name}: {tables.weights(plan)}; rows {plan.known.counted}"
    if plan.known.bounds and (unknown := rows.unknown_sources(asked.params)):
        yield f"  {', '.join(unknown)}: no number of rows is known before they are read; they count as none"
    if asked.model is None and (taken := sizes.taken_from(asked.params, asked.root)):
        yield f"  {taken}"
    yield from tables.work(plan, seconds)
    yield tables.WORK
    yield said
    shared = f"{room.ranks} processes sharing" if room and room.sharded else "nothing shared"
    yield f"memory on paper, MB a process ({shared}), {terms.PROGRAM / 1e6:.0f} of them the program itself:"
    yield from tables.memory(plan.held)
    yield tables.MEMORY
    yield from tables.disk(plan.disk)
    yield from needs.lines(asked.params, plan.sizes, plan.known)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
