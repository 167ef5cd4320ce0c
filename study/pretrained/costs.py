"""What a workspace's stages cost, over all tries: costs.json in its folder.

A stage that was broken off and went on has cost both; one that is made anew, with other params, only the last time.
"""

import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from rlhf.runs import lineage
from rlhf.runtime.files import write_json
from study import workspace

FILE = "costs.json"


class Cost(TypedDict):
    """What one stage took."""

    seconds: float
    peak_mb: float  # of the largest process, at most: the largest so far of all that this command ran
    whole: bool  # the stage ended


def reproduce(folder: Path, stages: Sequence[str]) -> None:
    """Run stages in this order, and add what each of them took to the file; one that is up to date adds nothing.

    Raises CalledProcessError where one fails.
    """
    for stage in stages:
        before, began, ended = lineage.locked(folder).get(stage), time.monotonic(), False
        try:
            workspace.reproduce(folder, [stage])
            ended = True
        finally:
            costs, peak = read(folder), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            known = costs.get(stage)
            if not (ended and known and known["whole"]) or lineage.locked(folder).get(stage) != before:
                earlier = known if known and not known["whole"] else Cost(seconds=0.0, peak_mb=0.0, whole=False)
                costs[stage] = Cost(
                    seconds=round(earlier["seconds"] + time.monotonic() - began, 1),
                    peak_mb=round(max(earlier["peak_mb"], peak)),
                    whole=ended,
                )
                write_json(folder / FILE, costs)


def read(folder: Path) -> dict[str, Cost]:
    """Return what is known; {} of a workspace that has run nothing."""
    return json.loads((folder / FILE).read_text(encoding="utf-8")) if (folder / FILE).exists() else {}
