"""`make ui`: what it sets right, which address it prints, and why it does not serve."""

import os
import shutil
import socket

import pytest

from rlhf.runs import sessions
from tools import ui

PARAMS = "tracking: {{enabled: true, uri: {}, experiment: rlhf, max_model_mb: 1, log_every: 1}}"


@pytest.fixture
def root(tmp_path, empty_store, monkeypatch):
    """A repository's root with a database; instead of becoming the server, the command is kept."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    (tmp_path / "params.yaml").write_text(PARAMS.format("null"))
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    commands = []
    monkeypatch.setattr(os, "execve", lambda _program, *started: commands.append(started))
    return commands


@pytest.fixture
def free():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_a_port_in_use_is_said_with_the_way_out(root, served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert ui.main(["--port", str(port)], root) == 1
    assert capsys.readouterr().err == f"Port {port}: Address already in use. Name another: make ui PORT={port + 1}\n"
    assert served == []


def test_the_table_of_runs_is_named_and_its_database_served(root, served, free, capsys):
    ui.main(["--port", str(free)], root)
    address = f"http://localhost:{free}/#/experiments/1/runs?workflowType=machine_learning"
    assert capsys.readouterr().out == f"MLflow: {address}   (Ctrl-C ends it)\n"
    (command, environment), uri = served[0], f"sqlite:///{root}/mlflow.db"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert uri not in command, (
        "other users of the machine see a process's arguments, and a database's may hold a password"
    )
    assert command[-4:] == ["--host", "127.0.0.1", "--port", str(free)], "whatever MLFLOW_HOST says"


def test_a_folder_that_was_moved_is_set_right_and_says_so(root, served, free, tmp_path_factory, capsys):
    ui.main(["--port", str(free)], root)
    there = root.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    ui.main(["--port", str(free)], there)
    assert f"comes from {root}" in capsys.readouterr().err
    assert served[1][1]["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{there}/mlflow.db"


def test_runs_of_processes_that_are_gone_are_called_killed(root, served, free, monkeypatch):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    ui.main(["--port", str(free)], root)
    run = client.create_run("1", tags={"dvc.process": "gone"}).info.run_id
    monkeypatch.setattr(sessions, "is_gone", lambda process: process == "gone")
    ui.main(["--port", str(free)], root)
    assert client.get_run(run).info.status == "KILLED"


def test_a_deleted_experiment_is_served_with_the_way_back(root, served, free, capsys):
    from mlflow import MlflowClient

    ui.main(["--port", str(free)], root)
    MlflowClient(f"sqlite:///{root}/mlflow.db").delete_experiment("1")
    ui.main(["--port", str(free)], root)
    assert "restore --experiment-id 1" in capsys.readouterr().err
    assert len(served) == 2


def test_a_server_is_named_and_not_served_again(root, served, free, capsys, monkeypatch):
    (root / "params.yaml").write_text(PARAMS.format("http://localhost:1"))
    assert ui.main(["--port", str(free)], root) == 1
    assert "no answer" in capsys.readouterr().err
    assert served == []


def test_without_readable_params_earlier_runs_are_shown_as_they_are(root, served, free, capsys):
    (root / "params.yaml").write_text("tracking: {uri: null}")
    ui.main(["--port", str(free)], root)
    told = capsys.readouterr()
    assert "tracking.enabled" in told.err and "shown as they are" in told.err
    assert told.out == f"MLflow: http://localhost:{free}   (Ctrl-C ends it)\n"
    assert len(served) == 1
