"""Starts a stage from a shell or from DVC: in this process, or in the several that `runtime.processes` asks for."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rlhf.params.base import ParamsError, load
from rlhf.params.rounds import RoundsInputs
from rlhf.params.runtime import RuntimeInputs
from rlhf.runs import lineage, sessions
from rlhf.runs.stage_name import StageName
from rlhf.runtime import distributed, interrupts
from rlhf.runtime.waiting import CODE, Waiting
from rlhf.secrets import guard

ELSEWHERE = "PET_RDZV_ENDPOINT"  # torchrun's own: where the processes of several machines meet


def run(stage: str, main: Callable[[], None]) -> None:
    """Call main(); where params.yaml wants several processes, become their launcher instead.

    Processes that `accelerate launch` or `torchrun` has started are taken as they are, whatever params.yaml says. An
    `accelerate launch` that was told of several processes and started one is refused. Errors: see plain_errors.
    """
    with plain_errors(StageName(stage)):
        _refuse_arguments(stage)
        _compute(StageName(stage), main)


def run_alone(stage: str, main: Callable[[], None]) -> None:
    """Call main() in this process, whatever params.yaml says: for a stage without tensors."""
    with plain_errors(StageName(stage)):
        _refuse_arguments(stage)
        with _watched(StageName(stage)):
            main()


def run_round(stage: str, main: Callable[[Path, str], None]) -> None:
    """Call main(root, round) with the round that the command line names, otherwise as `run`."""
    with plain_errors(StageName(stage, *sys.argv[1:2])):
        known = load(Path("."), RoundsInputs).rounds
        if len(sys.argv) != 2 or sys.argv[1] not in known:
            got = f"got {' '.join(sys.argv[1:])}" if sys.argv[1:] else "none is named"
            raise ParamsError(f"python -m stages.{stage}: expected a round of params.yaml: {', '.join(known)} ({got})")
        _compute(StageName(stage, sys.argv[1]), lambda: main(Path("."), sys.argv[1]))


def _compute(name: StageName, main: Callable[[], None]) -> None:
    """Call main() in the processes that params.yaml asks for."""
    _start_others(name.stage)
    with _watched(name):
        main()
        distributed.leave()


@contextmanager
def _watched(name: StageName) -> Iterator[None]:
    """Hold the stage's outputs against other processes, and end with the dvc that asked for them; one process does."""
    if not distributed.is_first():
        yield
        return
    with sessions.alone(Path("."), name), sessions.ending_with_dvc():
        yield


@contextmanager
def plain_errors(name: StageName) -> Iterator[None]:
    """End the process with the message of an error that its user can mend, without a traceback (TRACEBACK=1), or with
    what is waited for.

    Whatever the end, say how the outputs come back that DVC removed before it started the stage.
    """
    interrupts.raise_from_now_on()
    guard.install()
    try:
        with sessions.noted(Path("."), name) if distributed.is_first() else nullcontext():
            yield
    except KeyboardInterrupt:
        guard.say(f"{name.title}: interrupted")
        _show_the_way_back(name)
        raise SystemExit(interrupts.CODE) from None
    except Waiting as waiting:
        guard.say(f"{name.title}: {waiting}")
        _show_the_way_back(name)
        raise SystemExit(CODE) from None
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("TRACEBACK"):
            raise
        guard.say(f"{name.title}: {error}\n({type(error).__name__}; TRACEBACK=1 shows where)")
        _show_the_way_back(name)
        raise SystemExit(1) from None


def _refuse_arguments(stage: str) -> None:
    if sys.argv[1:]:
        raise ValueError(f"python -m stages.{stage} takes no arguments (got {' '.join(sys.argv[1:])})")


def _show_the_way_back(name: StageName) -> None:
    hint = lineage.way_back(Path("."), name.title) if distributed.is_first() else None
    if hint:
        guard.say(hint)


def _start_others(stage: str) -> None:
    """Become the launcher of several processes where they are asked for and were not started."""
    runtime = load(Path("."), RuntimeInputs).runtime
    if "WORLD_SIZE" not in os.environ:
        if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in os.environ:
            raise ValueError(
                "`accelerate launch --cpu` starts one process only, unless by MPI: replace --cpu by --multi_gpu, which "
                "starts them on a CPU as well, or use runtime.processes in params.yaml"
            )
        several_machines = ELSEWHERE in os.environ
        if runtime.processes > 1 or several_machines:
            sys.stdout.flush()
            os.environ.setdefault("OMP_NUM_THREADS", str(runtime.threads))  # or torch sets 1, with a warning
            torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={runtime.processes}"]
            torchrun += [] if several_machines else ["--standalone"]
            os.execv(sys.executable, [sys.executable, *torchrun, "-m", f"stages.{stage}", *sys.argv[1:]])
