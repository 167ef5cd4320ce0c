"""A look at dvc.lock as `dvc` ends: where its last stages came out as before, no process of ours runs then.

The recorder of a stage that may have been the last to run stays, without a terminal, until another stage is recorded or
`dvc` is gone: so a pipeline has its end before a later command changes the lock. Where this process is killed too (a
container that stops, say), the next stage or `make ui` looks.

That of a stage with which its pipeline has FINISHED stays until dvc.lock has what it made, mostly less than a second:
where `dvc` ends before that, on a full disk say, the pipeline is FAILED.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rlhf.runs import mlflow_store, sessions
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import endings, reaping, wholeness
from rlhf.runs.recording.wholeness import Lock

SECONDS_BETWEEN_LOOKS = 0.1  # at the lock, and for another stage; the end of dvc is noticed at once
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds, for a store that is away as dvc ends


class Watch(NamedTuple):
    """Whose end is awaited: `session` is the identity of the dvc process, `key` the session's name in notes of ends,
    `process` the stage's own identity; of a `pipeline` (its run) that has FINISHED, `made` is {path: md5} of what its
    stages made.
    """

    store: Store
    home: Path
    session: str
    key: str
    process: str
    pipeline: str
    made: Mapping[str, str]  # empty: the pipeline runs

    def text(self) -> str:
        """Return dvc.lock as it is; it may be cut, or half written."""
        lock = self.home / "dvc.lock"
        return lock.read_text("utf-8", "replace") if lock.exists() else ""

    def missing(self) -> list[str]:
        """Return the paths of what was made and dvc.lock does not have."""
        text = self.text()
        return [path for path, md5 in self.made.items() if md5 not in text]

    def is_last(self) -> bool:
        """Say whether no stage of this session has a run that began after this one: one may be killed before it has."""
        own = [ending.process for ending in endings.read(self.home) if ending.session == self.key]
        if self.process not in own:
            return False
        return not any(self._has_run(process) for process in own[own.index(self.process) + 1 :])

    def _has_run(self, process: str) -> bool:
        from mlflow.exceptions import MlflowException

        query = mlflow_store.equals(f"tags.{mlflow_store.PROCESS}", process)
        try:
            return bool(self.store.client.search_runs([self.store.experiment_id], query, max_results=1))
        except (MlflowException, OSError):  # the store is away, as it may be for that stage
            return False


def until_dvc_ends(watch: Watch) -> None:
    """Give the pipeline its end when dvc has ended, unless another stage is recorded: then that one's recorder does."""
    _leave_the_terminal(watch.home)
    while watch.is_last() and (not watch.made or watch.missing()):
        text = watch.text()
        if sessions.has_ended(watch.session, SECONDS_BETWEEN_LOOKS):
            _end(watch, [watch.text(), text])
            return


def _end(watch: Watch, texts: list[str]) -> None:
    """End what dvc has left, by the lock at its end, or a moment before: another command may be changing it by now."""
    if not watch.made:
        locks = [lock for lock in (Lock.of_text(watch.home, text) for text in texts) if lock]
        if locks:
            _persist(lambda: reaping.reap(watch.store, watch.home, _whole(watch, locks)))
    elif missing := watch.missing():
        _persist(lambda: reaping.fail_unrecorded(watch.store.client, watch.pipeline, missing))


def _whole(watch: Watch, locks: list[Lock]) -> Lock:
    """Return the first lock that is this pipeline's to its last stage, else the first; alike, there is no choice."""
    if locks[0].stages == locks[-1].stages:
        return locks[0]
    run = mlflow_store.run_of(watch.store.client, watch.pipeline)
    return next((lock for lock in locks if run and wholeness.is_whole(watch.store.client, run, lock)), locks[0])


def _persist(look: Callable[[], None]) -> None:
    """Ask a store that is away again for a while."""
    from mlflow.exceptions import MlflowException

    for pause in PAUSES:
        try:
            look()
            return
        except (MlflowException, OSError):
            time.sleep(pause)


def _leave_the_terminal(home: Path) -> None:
    """Hold neither the terminal nor a pipe, which a reader would wait for, nor a folder that may be removed."""
    os.setsid()
    os.chdir(home)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the stage, which would answer it, has ended
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
