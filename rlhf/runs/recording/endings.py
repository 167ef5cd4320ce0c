"""How stages' processes ended, noted on the disk: a run in MLflow does not know it if the stage failed before it had
one, or if the store was away."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from rlhf.runtime.files import write_text
from rlhf.runtime.waiting import Waiting
from rlhf.secrets import guard

FILE = ".checkpoints/endings.jsonl"  # below the main repository
MOST = 1000  # lines; of more, half are kept


class Ending(NamedTuple):
    """The last that a stage's process has noted of itself."""

    process: str
    session: str  # see sessions.session_key
    place: str
    status: str  # "finished", "failed", "killed"; empty: it began, and after kill -9 that is all
    moment: int  # milliseconds since the epoch


def read(home: Path) -> list[Ending]:
    """Return the last line of each process, in the order of their beginnings."""
    file = home / FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = [Ending(*json.loads(line)) for line in lines if line.endswith("]")]  # a full disk cuts the last one
    return list({ending.process: ending for ending in found}.values())


@contextmanager
def noted(home: Path, process: str, session: str, place: str) -> Iterator[None]:
    """Note that the block begins, and how it ends."""
    note(home, Ending(process, session, place, "", _now()))
    status = "failed"
    try:
        yield
        status = "finished"
    except (KeyboardInterrupt, Waiting):
        status = "killed"
        raise
    finally:
        note(home, Ending(process, session, place, status, _now()))


def note(home: Path, ending: Ending) -> None:
    """Add a line; a disk that refuses it costs a warning."""
    file = home / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            kept = lines[-MOST // 2 :] if len(lines) >= MOST else lines
            write_text(file, "\n".join([*kept, json.dumps(ending)]) + "\n")  # as a whole: others read at any time
    except OSError as error:
        guard.say(f"WARNING: {ending.place}: its end could not be noted ({error})")


def _now() -> int:
    return time.time_ns() // 1_000_000
