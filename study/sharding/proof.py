"""Models in shards beside one process, measured: gradients before clipping, weights, a state that others go on from."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from study.sharding import worker

HALF = worker.UPDATES // 2
AGREES = 1e-5  # relative difference of weights after a resume, in float32


class Found(NamedTuple):
    """What `metrics/scale.json` says of it; differences are the largest of any number, over the largest number."""

    gradients: float  # before clipping, of all updates
    weights: float  # after the last one
    ranks: list[int]
    resharded_resume: bool  # a state of two processes goes on with one and with three


def measure(folder: Path, ranks: Sequence[int]) -> Found:
    """Train alone, with each number of processes, and from a state of two with one and with three."""
    alone = run(folder / "alone", 1, worker.UPDATES)
    several = [run(folder / f"{number}", number, worker.UPDATES) for number in ranks]
    run(folder / "half", 2, HALF)
    resumed = []
    for number in (1, 3):
        shutil.copytree(folder / "half/states", folder / f"on{number}/states")
        resumed.append(run(folder / f"on{number}", number, worker.UPDATES))
    return Found(
        gradients=max(difference(flat(one["gradients"]), flat(alone["gradients"])) for one in several),
        weights=max(difference(one["weights"], alone["weights"]) for one in several),
        ranks=[*ranks],
        resharded_resume=all(
            len(one["gradients"]) == worker.UPDATES - HALF and difference(one["weights"], alone["weights"]) < AGREES
            for one in resumed
        ),
    )


def run(folder: Path, processes: int, updates: int) -> dict:
    """Return what so many processes find in `folder`, whose states they go on from."""
    folder.mkdir(parents=True, exist_ok=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    command = [sys.executable, *torchrun, "-m", "study.sharding.worker", str(folder), "found", str(updates)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return torch.load(folder / "found.pt", weights_only=True)


def flat(several: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [one for some in several for one in some]


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference of two numbers in the same place, over the largest number."""
    largest = max(one.abs().amax().item() for one in expected)
    return max((one - other).abs().amax().item() for one, other in zip(found, expected, strict=True)) / largest
