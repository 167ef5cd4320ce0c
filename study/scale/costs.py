"""What a workspace's stages cost, over all tries: costs.json in its folder.

A stage that was broken off and went on has cost both; one that is made anew, with other params, only the last time.
"""

import json
import resource
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypedDict

from rlhf.runs import lineage
from rlhf.runtime.files import write_json
from study import workspace

FILE = "costs.json"


class Cost(TypedDict):
    """What one stage took."""

    seconds: float
    peak_mb: float  # of its largest process
    whole: bool  # the stage ended


class Tried(NamedTuple):
    """One try of a stage."""

    peak_mb: float
    error: subprocess.CalledProcessError | None


def reproduce(folder: Path, stages: Sequence[str]) -> None:
    """Run stages in this order, and add what each of them took to the file; one that is up to date adds nothing.

    Raises CalledProcessError where one fails.
    """
    for stage in stages:
        before, began = lineage.locked(folder).get(stage), time.monotonic()
        tried = Tried(0.0, None)
        ended = False
        try:
            tried = apart(folder, stage)
            ended = tried.error is None
        finally:
            costs = read(folder)
            known = costs.get(stage)
            if not (ended and known and known["whole"]) or lineage.locked(folder).get(stage) != before:
                earlier = known if known and not known["whole"] else Cost(seconds=0.0, peak_mb=0.0, whole=False)
                costs[stage] = Cost(
                    seconds=round(earlier["seconds"] + time.monotonic() - began, 1),
                    peak_mb=round(max(earlier["peak_mb"], tried.peak_mb)),
                    whole=ended,
                )
                write_json(folder / FILE, costs)
        if tried.error is not None:
            raise tried.error


def apart(folder: Path, stage: str) -> Tried:
    """Run a stage in a process of its own: what the system says of its children's peak is of this stage alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:  # a spawned one would load torch first
        return pool.submit(_measured, folder, stage).result()


def _measured(folder: Path, stage: str) -> Tried:
    error = None
    try:
        workspace.reproduce(folder, [stage])
    except subprocess.CalledProcessError as failed:
        error = failed
    return Tried(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, error)


def read(folder: Path) -> dict[str, Cost]:
    """Return what is known; {} of a workspace that has run nothing."""
    return json.loads((folder / FILE).read_text(encoding="utf-8")) if (folder / FILE).exists() else {}
