"""Starts a stage: in this process, or in the several that `runtime.processes` asks for."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf.params.base import load
from rlhf.params.runtime import RuntimeInputs
from rlhf.runtime import distributed


def run(stage: str, main: Callable[..., None], **arguments: str) -> None:
    """Call main(**arguments); where params.yaml wants several processes, become their launcher instead.

    Processes that `accelerate launch` or `torchrun` has started are taken as they are, whatever params.yaml says. An
    `accelerate launch` that was told of several processes and started one is refused. Errors: see plain_errors.
    """
    with plain_errors(stage):
        _start_others(stage)
        main(**arguments)
        distributed.leave()


@contextmanager
def plain_errors(stage: str) -> Iterator[None]:
    """End the process with the message of an error that its user can mend, without a traceback (TRACEBACK=1)."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("TRACEBACK"):
            raise
        print(f"{stage}: {error}\n({type(error).__name__}; TRACEBACK=1 shows where)", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _start_others(stage: str) -> None:
    """Become the launcher of several processes where they are asked for and were not started."""
    runtime = load(Path("."), RuntimeInputs).runtime
    if "WORLD_SIZE" not in os.environ:
        if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in os.environ:
            raise ValueError(
                "`accelerate launch --cpu` starts one process only, unless by MPI: replace --cpu by --multi_gpu, which "
                "starts them on a CPU as well, or use runtime.processes in params.yaml"
            )
        if runtime.processes > 1:
            sys.stdout.flush()
            os.environ.setdefault("OMP_NUM_THREADS", str(runtime.threads))  # or torch sets 1, with a warning
            torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={runtime.processes}"]
            os.execv(sys.executable, [sys.executable, *torchrun, "-m", f"stages.{stage}", *sys.argv[1:]])
