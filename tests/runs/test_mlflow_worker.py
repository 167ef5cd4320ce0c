"""What a stage and the process that records it say to each other, both ends of the pipe held in this process."""

import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlhf.params.base import read_yaml
from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_worker, sessions
from rlhf.runs.mlflow_worker import MlflowWorker
from rlhf.runs.recording import recorder, watching
from rlhf.runs.recording.attempts import Training
from rlhf.runs.stage_name import StageName
from rlhf.secrets import guard
from tests.runs.test_tracking import store, write_params

SETTINGS = Tracking(enabled=True, uri=None, experiment="rlhf", max_model_mb=1.0, log_every=1)
ENDED = "WARNING: ppo@r1: the process that records in MLflow has ended\n"


class Process:
    """Stands in for subprocess.Popen: keeps the pipe's other end, which the process would have."""

    def __init__(self, command, env, pass_fds):
        self.command, self.environment, self.waited = command, env, 0
        assert [str(number) for number in pass_fds] == command[-1:]
        self.descriptor = os.dup(pass_fds[0])
        self.pipe = Connection(os.dup(pass_fds[0]))

    def hang_up(self) -> None:
        os.close(self.descriptor)
        self.pipe.close()

    def heard(self) -> list:
        """Return what the stage has sent so far."""
        messages = []
        while self.pipe.poll():
            messages.append(self.pipe.recv())
        return messages

    def wait(self) -> None:
        self.waited += 1


@pytest.fixture(autouse=True)
def _retries_stay(monkeypatch):
    monkeypatch.setenv(mlflow_worker.RETRIES, "2")


@pytest.fixture(autouse=True)
def _signals_stay():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a repository"
    folder.mkdir()
    write_params(folder)
    (tmp_path / "link").symlink_to(folder)
    return tmp_path / "link"


@pytest.fixture
def worker(root, monkeypatch):
    """A stage's end of the pipe."""
    monkeypatch.setenv("A_CHOICE", "kept")
    monkeypatch.setattr(mlflow_worker, "subprocess", SimpleNamespace(Popen=Process))
    monkeypatch.setattr(sessions, "own_process", lambda: "host 2 3.00")
    monkeypatch.setattr(sessions, "dvc_process", lambda: "host 1 2.00")
    return MlflowWorker(root, StageName("ppo", "r1"), SETTINGS, Training("0123", 7))


def test_a_process_is_started_with_this_ones_path_and_told_what_to_open(worker, root):
    process = worker._process
    assert process.command[:2] == [sys.executable, "-c"]
    expected = os.environ | {"A_CHOICE": "kept", "PYTHONPATH": os.pathsep.join(sys.path)}
    assert process.environment == expected | {"PYTEST_CURRENT_TEST": process.environment["PYTEST_CURRENT_TEST"]}
    params = read_yaml(root / "params.yaml")
    processes = ("host 2 3.00", "host 1 2.00")
    assert process.heard() == [
        (root.resolve(), StageName("ppo", "r1"), SETTINGS, Training("0123", 7), params, processes)
    ]
    assert worker.name == "ppo@r1"
    assert MlflowWorker(root, StageName("sft"), SETTINGS, Training()).name == "sft"


def test_the_command_serves_the_pipe(worker, monkeypatch):
    served = []
    monkeypatch.setattr(mlflow_worker, "serve", served.append)
    monkeypatch.setattr(sys, "argv", worker._process.command[1:2] + worker._process.command[3:])
    exec(worker._process.command[2], {})
    assert [str(number) for number in served] == worker._process.command[3:]


def test_a_folder_that_is_not_there_is_said_before_a_process_is_started(root, monkeypatch):
    monkeypatch.setattr(mlflow_worker, "subprocess", None)
    monkeypatch.setenv("DVC_ROOT", str(root / "main"))
    settings = SETTINGS.model_copy(update={"uri": "sqlite:///absent/mlflow.db"})
    with pytest.raises(ConnectionError, match="there is no folder .*/a repository/main/absent;"):
        MlflowWorker(root, StageName("sft"), settings, Training())


def test_each_word_goes_out_whole_with_absolute_paths_and_its_moment(worker, root, monkeypatch):
    there = root.resolve()
    worker._process.heard()
    monkeypatch.setattr(mlflow_worker.time, "time_ns", lambda: 1_234_567_999_999)
    worker.params({"a": 1})
    worker.metrics({"loss": 0.5}, 7)
    worker.inputs([root / "a", root / "b"], "training")
    worker.results({"sft.loss": 0.25})
    worker.decide({"PPO beats SFT": 0.7}, ["PPO beats SFT"])
    worker.model(root / "m")
    worker.card(root / "m", root / "card")
    worker.describe(["**so**"], [])
    worker.artifact(root / "f")
    assert worker._process.heard() == [
        ("params", {"a": 1}),
        ("metrics", {"loss": 0.5}, 7, 1_234_567),
        ("inputs", [there / "a", there / "b"], "training"),
        ("results", {"sft.loss": 0.25}, 1_234_567),
        ("decide", {"PPO beats SFT": 0.7}, ["PPO beats SFT"], 1_234_567),
        ("model", there / "m"),
        ("card", there / "m", there / "card"),
        ("describe", ["**so**"], []),
        ("artifact", there / "f"),
    ]


def test_closing_waits_until_everything_is_recorded(worker):
    worker._process.pipe.send((True, "http://the/run"))
    assert worker.link == "http://the/run"
    assert worker.link == "http://the/run", "it is asked for once"
    worker._process.heard()
    with ThreadPoolExecutor() as pool:
        closed = pool.submit(worker.close, "KILLED")
        assert worker._process.pipe.poll(20)
        assert worker._process.pipe.recv() == ("close", "KILLED")
        time.sleep(0.05)
        assert not closed.done()
        assert worker._process.waited == 0
        worker._process.pipe.send((True, ""))
        closed.result(timeout=20)
    assert worker._process.waited == 1
    assert worker._pipe.closed


def test_a_store_that_cannot_be_opened_is_an_error_once(worker, capsys):
    worker._process.pipe.send((False, "file is not a database"))
    with pytest.raises(ConnectionError) as error:
        worker.ready()
    assert str(error.value) == "file is not a database"
    worker._process.heard()
    worker.params({"a": 1})
    assert worker._process.heard() == []
    worker._process.hang_up()
    worker.ready()
    worker.close("FAILED")
    assert capsys.readouterr().err == ""
    assert worker._process.waited == 1


def test_closing_says_that_the_store_could_not_be_opened_and_ends_the_process(worker):
    worker._process.pipe.send((False, "locked"))
    with pytest.raises(ConnectionError, match="locked"):
        worker.close("FINISHED")
    assert (worker._process.waited, worker._pipe.closed) == (1, True)


@pytest.mark.parametrize("first", ["send", "ready"])
def test_a_process_that_has_ended_is_one_warning(worker, capsys, first):
    worker._process.heard()
    worker._process.hang_up()
    if first == "send":
        worker.params({"a": 1})
    assert worker.link == ""
    worker.metrics({"loss": 1.0}, 1)
    worker.ready()
    worker.close("FINISHED")
    assert capsys.readouterr().err == ENDED
    assert (worker._process.waited, worker._pipe.closed) == (1, True)


def test_the_warning_is_shown_at_once(worker, monkeypatch):
    flushed = []
    monkeypatch.setattr(guard, "print", lambda *_, **named: flushed.append(named), raising=False)
    worker._process.heard()
    worker._process.hang_up()
    worker.describe(["x"], [])
    assert flushed == [{"file": sys.stderr, "flush": True}]


class Written:
    """Stands in for a Recorder: writes down what it is asked for."""

    link = "http://the/run"
    awaited = None

    def __init__(self, *arguments):
        self.calls.append(("open", *arguments))

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))

    def due_in(self):
        return None

    def close(self, status, wait):
        self.calls.append(("close", status))

    def watch(self):
        return self.awaited


@pytest.fixture
def calls(monkeypatch):
    """What a Recorder is asked for by `serve`."""
    monkeypatch.setattr(Written, "calls", [], raising=False)
    monkeypatch.setattr(recorder, "Recorder", Written)
    return Written.calls


def serve(*messages, hang_up: bool = False) -> list:
    """Serve a stage that has sent these messages; return the answers. With `hang_up` it has not waited for any."""
    ours, theirs = Pipe()
    for message in messages:
        ours.send(message)
    if hang_up:
        ours.close()
    descriptor = os.dup(theirs.fileno())
    theirs.close()
    mlflow_worker.serve(descriptor)
    answers = []
    while not hang_up and ours.poll():
        try:
            answers.append(ours.recv())
        except EOFError:
            break
    return answers


def test_what_is_heard_is_recorded_in_its_order_until_close(calls):
    answers = serve(("root", "sft", None), ("params", {"a": 1}), ("metrics", {"b": 1.0}, 3, 5), ("close", "FINISHED"))
    assert calls == [
        ("open", "root", "sft", None),
        ("params", {"a": 1}),
        ("metrics", {"b": 1.0}, 3, 5),
        ("close", "FINISHED"),
    ]
    assert answers == [(True, "http://the/run"), (True, "")]


def test_it_stays_behind_its_answer_where_dvc_may_end_without_another_stage(calls, monkeypatch):
    monkeypatch.setattr(Written, "awaited", "dvc")
    monkeypatch.setattr(watching, "until_dvc_ends", lambda watch: calls.append(("awaits", watch)))
    answers = serve(("root", "sft", None), ("close", "FINISHED"))
    assert calls[-2:] == [("close", "FINISHED"), ("awaits", "dvc")]
    assert answers[-1] == (True, mlflow_worker.STAYS)


def test_what_waits_goes_out_while_the_stage_says_nothing(calls, monkeypatch):
    """The stage speaks only after two pauses were over."""
    ours, theirs = Pipe()
    pauses = iter([0.01, 0.0])

    def due_in(_self):
        pause = next(pauses, None)
        if pause is None:
            ours.send(("close", "FINISHED"))
        return pause

    monkeypatch.setattr(Written, "due_in", due_in)
    ours.send(("root", "sft"))
    mlflow_worker.serve(os.dup(theirs.fileno()))
    assert calls == [("open", "root", "sft"), ("flush",), ("flush",), ("close", "FINISHED")]


@pytest.mark.parametrize("hung_up", [False, True])
def test_the_end_waits_for_the_store_as_long_as_the_stage_does(calls, monkeypatch, hung_up):
    ours, theirs = Pipe()
    waited = []

    def close(_self, _status, wait):
        if hung_up:
            ours.close()
        waited.append(bool(wait(0.01)))

    monkeypatch.setattr(Written, "close", close)
    ours.send(("root", "sft"))
    ours.send(("close", "FINISHED"))
    descriptor = os.dup(theirs.fileno())
    theirs.close()
    mlflow_worker.serve(descriptor)
    assert waited == [hung_up]


@pytest.mark.parametrize("chosen", [None, "5"])
def test_a_dead_server_costs_one_request_since_the_recorder_tries_again(calls, monkeypatch, chosen):
    monkeypatch.delenv(mlflow_worker.RETRIES)
    if chosen:
        monkeypatch.setenv(mlflow_worker.RETRIES, chosen)
    serve(("root",), ("close", "KILLED"))
    assert os.environ[mlflow_worker.RETRIES] == (chosen or "0")


def test_interrupts_are_the_stages_to_handle(calls):
    serve(("root",), ("close", "KILLED"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_IGN] * 2


def test_what_a_stage_said_before_it_was_killed_is_sent(calls):
    serve(("root", "sft"), ("metrics", {"b": 1.0}, 3, 5), hang_up=True)
    assert calls == [("open", "root", "sft"), ("metrics", {"b": 1.0}, 3, 5), ("leave",)]


def test_a_stage_that_was_killed_before_it_said_anything_opens_nothing(calls):
    serve(hang_up=True)
    assert calls == []


@pytest.mark.parametrize(
    ("error", "answer"), [(ValueError("no tracking"), "no tracking"), (RuntimeError(), "RuntimeError")]
)
def test_whatever_keeps_a_recorder_from_opening_is_told_to_the_stage(monkeypatch, error, answer):
    def fails(*_):
        raise error

    monkeypatch.setattr(recorder, "Recorder", fails)
    assert serve(("root",), ("params", {})) == [(False, answer)]


def test_a_stage_and_its_process_record_a_run(worker, root, empty_store, monkeypatch):
    shutil.copy(empty_store, root / "mlflow.db")
    (root / "data").mkdir()
    (root / "data/text").write_text("words")
    worker.params({"extra": {"a": 1}})
    worker.metrics({"loss": 0.5}, 3)
    worker.inputs([root / "data/text"], "training")
    with ThreadPoolExecutor() as pool:
        closed = pool.submit(worker.close, "FINISHED")
        mlflow_worker.serve(worker._process.descriptor)
        closed.result(timeout=60)
    _, _, runs = store(root)
    run = runs["ppo@r1"]
    assert run.info.status == "FINISHED"
    assert run.data.params["extra.a"] == "1"
    assert run.data.metrics["loss"] == 0.5
    assert run.inputs.dataset_inputs[0].dataset.name == "data/text"
    assert f"/runs/{run.info.run_id}?" in worker.link
    assert Path(run.info.artifact_uri.removeprefix("file://").replace("%20", " ")).is_relative_to(root.resolve())
