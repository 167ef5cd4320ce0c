"""Models in shards beside one process, measured: gradients before clipping, weights, a state that others go on from.

python -m study.sharding.proof     2 and 3 processes on this CPU → metrics/scale.json
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from study.scale import kept
from study.sharding import worker
from tools.looking import piped

RANKS = (2, 3)
HALF = worker.UPDATES // 2
AGREES = 1e-5  # relative difference of weights after a resume, in float32


class Found(NamedTuple):
    """What `metrics/scale.json` says of it; differences are the largest of any number, over the largest number."""

    gradients: float  # before clipping, of all updates
    weights: float  # after the last one
    ranks: list[int]
    resharded_resume: bool  # a state of two processes goes on with one and with three


def main(root: Path = Path(".")) -> int:
    """Measure, and add it to metrics/scale.json, where what else stands stays; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), RANKS)
    kept.write(root, kept.read(root) | found._asdict())
    print(json.dumps(found._asdict()))
    return 0


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


if __name__ == "__main__":
    piped.exit_with(main)
