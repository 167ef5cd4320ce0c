"""A Recorder in a process of its own: a stage waits neither for MLflow's import nor for its database.

MLflow's own asynchronous logging loses what a dead server did not take, and its threads slow training down; the stage
would wait for the import besides (docs/decisions.md).

Messages go through a pipe in their order. The process ends when the recorder is closed, or when the stage is gone; the
last one of a pipeline may stay until `dvc` ends (rlhf/runs/recording/watching.py).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rlhf.params.base import read_yaml
from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_store, sessions
from rlhf.runs.recording.attempts import Training
from rlhf.runs.stage_name import StageName
from rlhf.secrets import guard
from rlhf.secrets.masking import masked

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"  # MLflow's own, each as long as its MLFLOW_HTTP_REQUEST_TIMEOUT
STAYS = "stays"  # the recorder's answer to close(), where it outlives the stage
_START = "import sys; from rlhf.runs.mlflow_worker import serve; serve(int(sys.argv[1]))"


class MlflowWorker:
    """Has the methods of a Recorder, which return at once; close() waits until everything is recorded.

    Raises ConnectionError where the store cannot be reached: at once where a look suffices, else at ready() or close().
    """

    def __init__(self, root: Path, name: StageName, settings: Tracking, training: Training):
        params = read_yaml(root / "params.yaml")
        mlflow_store.preflight(settings, mlflow_store.anchor(root))
        self.name = name.title
        self._link: str | None = None
        self._lost = False
        self._pipe, theirs = Pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", _START, str(theirs.fileno())]
        self._process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        processes = sessions.own_process(), sessions.dvc_process()
        self._send(root.resolve(), name, settings, training, params, processes)

    @property
    def link(self) -> str:
        """The run's address in the MLflow UI."""
        self.ready()
        return self._link or ""

    def ready(self) -> None:
        """Wait until the run is open. Raises ConnectionError, once, if it cannot be opened."""
        if self._link is not None or self._lost:
            return
        opened, answer = self._receive()
        if opened:
            self._link = answer
        else:
            self._lost = True
            raise ConnectionError(answer)

    def params(self, params: Mapping[str, Any]) -> None:
        self._send("params", dict(params))

    def metrics(self, numbers: Mapping[str, float], step: int) -> None:
        self._send("metrics", dict(numbers), step, time.time_ns() // 1_000_000)

    def inputs(self, paths: Sequence[Path], context: str) -> None:
        self._send("inputs", [path.resolve() for path in paths], context)

    def results(self, numbers: Mapping[str, float]) -> None:
        self._send("results", dict(numbers), time.time_ns() // 1_000_000)

    def decide(self, numbers: Mapping[str, float], columns: Sequence[str]) -> None:
        self._send("decide", dict(numbers), list(columns), time.time_ns() // 1_000_000)

    def model(self, path: Path) -> None:
        self._send("model", path.resolve())

    def card(self, path: Path, card: Path) -> None:
        self._send("card", path.resolve(), card.resolve())

    def describe(self, parts: Sequence[str], pictures: Sequence[Path]) -> None:
        self._send("describe", list(parts), [path.resolve() for path in pictures])

    def artifact(self, path: Path) -> None:
        self._send("artifact", path.resolve())

    def close(self, status: str) -> None:
        """Record the rest and the run's end."""
        answer = ""
        try:
            self.ready()
            self._send("close", status)
            if not self._lost:
                _, answer = self._receive()
        finally:
            self._pipe.close()
            if answer != STAYS:
                self._process.wait()

    def _send(self, *message: Any) -> None:
        if self._lost:
            return
        try:
            self._pipe.send(message)
        except OSError:
            self._lose()

    def _receive(self) -> tuple[bool, str]:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self._lose()
            return True, ""

    def _lose(self) -> None:
        self._lost = True
        guard.say(f"WARNING: {self.name}: the process that records in MLflow has ended")


def serve(descriptor: int) -> None:
    """Open a Recorder and do what the pipe says. An interrupt is the stage's to handle: it closes the recorder.

    While the stage says nothing, what is buffered goes out, and what an outage has kept is tried again.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    guard.install()
    from rlhf.runs.recording import watching
    from rlhf.runs.recording.recorder import Recorder

    pipe = Connection(descriptor)
    retries_are_chosen = RETRIES in os.environ
    try:
        recorder = Recorder(*pipe.recv())
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the stage must hear of it
        pipe.send((False, masked(str(error)) or type(error).__name__))
        return
    with suppress(BrokenPipeError):  # a stage that was killed meanwhile: what it said is still there
        pipe.send((True, recorder.link))
    if not retries_are_chosen:  # the recorder itself tries again, and hears the stage in between
        os.environ[RETRIES] = "0"
    while True:
        try:
            while not pipe.poll(recorder.due_in()):
                recorder.flush()
            method, *arguments = pipe.recv()
        except (EOFError, ConnectionResetError):  # the stage was killed; the next one to start marks its run
            recorder.leave()
            return
        if method == "close":
            (status,) = arguments
            recorder.close(status, pipe.poll)
            watch = recorder.watch()
            with suppress(BrokenPipeError):
                pipe.send((True, STAYS if watch else ""))
            pipe.close()
            if watch:
                watching.until_dvc_ends(watch)
            return
        getattr(recorder, method)(*arguments)
