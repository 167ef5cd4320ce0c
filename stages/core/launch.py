"""Starts a stage: in this process, or in the several that `runtime.processes` asks for."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from stages.core import distributed
from stages.params.base import load
from stages.params.runtime import RuntimeInputs


def run(stage: str, main: Callable[..., None], **arguments: str) -> None:
    """Call main(**arguments); where params.yaml wants several processes, become their launcher instead.

    Processes that `accelerate launch` or `torchrun` has started are taken as they are, whatever params.yaml says.
    Raises ValueError under an `accelerate launch` that was told of several processes and started one.
    """
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
    main(**arguments)
    distributed.leave()
