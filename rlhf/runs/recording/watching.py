"""A look at dvc.lock as `dvc` ends: where its last stages came out as before, no process of ours runs then.

The recorder of a stage that may have been the last to run stays, without a terminal, until another stage begins or
`dvc` is gone: so a pipeline has its end before a later command changes the lock. Where this process is killed too (a
container that stops, say), the next stage or `make ui` looks.
"""

import os
import signal
from pathlib import Path
from typing import NamedTuple

from rlhf.runs import sessions
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import endings, reaping
from rlhf.runs.recording.wholeness import Lock

SECONDS_BETWEEN_LOOKS = 1.0  # for another stage; the end of dvc is noticed at once


class Watch(NamedTuple):
    """Whose end is awaited: `session` is the identity of the dvc process, `key` the session's name in notes of ends,
    `process` the stage's own identity.
    """

    store: Store
    home: Path
    session: str
    key: str
    process: str

    def is_last(self) -> bool:
        """Say whether no stage of this session has begun after this one."""
        own = [ending.process for ending in endings.read(self.home) if ending.session == self.key]
        return own[-1:] == [self.process]


def until_dvc_ends(watch: Watch) -> None:
    """Give the pipeline its end when dvc has ended, unless another stage begins: then that one's recorder does."""
    _leave_the_terminal(watch.home)
    while watch.is_last():
        if sessions.has_ended(watch.session, SECONDS_BETWEEN_LOOKS):
            reaping.reap(watch.store, watch.home, Lock.read(watch.home))  # read at once: another command may be next
            return


def _leave_the_terminal(home: Path) -> None:
    """Hold neither the terminal nor a pipe, which a reader would wait for, nor a folder that may be removed."""
    os.setsid()
    os.chdir(home)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the stage, which would answer it, has ended
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
