"""An MLflow server that is away while a stage ends: what comes after is recorded once it is back, or named as lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import loopback
from tests.integration import services
from tests.runs.test_tracking import model_folder, write_params

MARKER = "Xmarker74Xmarker"  # a password that the server does not ask for
REPO = Path(__file__).resolve().parents[2]
STAGE = """
import sys, time
from pathlib import Path
from rlhf.runs import tracking
with tracking.stage_run(Path("."), "sft") as run:
    run.progress(1, 2, {})
    while not Path("go").exists():
        time.sleep(0.05)
    run.log_params({"extra": 1})
    run.log_inputs([Path("params.yaml")], context="training")
    run.log_metrics({"loss": 0.5}, step=1)
    run.log_model(Path("data/sft"))
    run.log_metrics({"loss": 0.25})
    run.log_artifact(Path("params.yaml"))
    run.describe(["**so**"], [])
"""


@pytest.fixture
def root(tmp_path) -> Path:
    write_params(tmp_path)
    model_folder(tmp_path / "data/sft", 10)
    return tmp_path


@contextmanager
def begun(root: Path, uri: str) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Yield a stage that has its run, and its log."""
    write_params(root, uri=uri.replace("http://", f"http://user:{MARKER}@"))
    own = {"PYTHONPATH": str(REPO), "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = root / "log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", STAGE], cwd=root, env=os.environ | own, stdout=output, stderr=output
        )
    try:
        wait_for(log, "sft  1/2", process)
        yield process, log
    finally:
        process.kill()
        process.wait()


def wait_for(log: Path, words: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while words not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_server_that_comes_back_within_a_minute_of_the_end_has_everything(root, tmp_path_factory):
    from mlflow import MlflowClient

    folder, port = tmp_path_factory.mktemp("server"), loopback.free_port()
    database = f"sqlite:///{folder / 'server.db'}"
    server = ExitStack()
    uri = server.enter_context(services.mlflow_server(folder, database, port))
    with begun(root, uri) as (process, log):
        server.close()
        (root / "go").touch()
        wait_for(log, "waiting up to 60 s for MLflow, which has not taken params, inputs", process)
        server.enter_context(services.mlflow_server(folder, database, port))
        assert process.wait(timeout=120) == 0, log.read_text()
    with server:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("rlhf").experiment_id
        (run,) = client.search_runs([experiment], "tags.`dvc.stage` = 'sft'")
        (model,) = client.search_logged_models([experiment])
        files = [file.path for file in client.list_logged_model_artifacts(model.model_id)]
    assert "sft: MLflow has taken what waited" in log.read_text()
    assert "lost" not in log.read_text()
    assert MARKER not in log.read_text()
    assert MARKER.encode() not in (folder / "server.db").read_bytes()
    assert run.info.status == "FINISHED"
    assert run.data.params["extra"] == "1"
    assert run.data.metrics == {"loss": 0.5, "sft.loss": 0.25}
    assert run.data.tags["mlflow.note.content"] == "**so**"
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["params.yaml"]
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    assert ({metric.key for metric in model.metrics}, str(model.status)) == ({"sft.loss"}, "READY")
    assert set(files) == {"config.json", "model.safetensors"}


def test_a_server_that_does_not_come_back_costs_a_minute_and_one_line_that_names_what_is_lost(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    server = ExitStack()
    uri = server.enter_context(services.mlflow_server(folder, f"sqlite:///{folder / 'server.db'}"))
    with begun(root, uri) as (process, log):
        server.close()
        (root / "go").touch()
        began = time.monotonic()
        assert process.wait(timeout=180) == 0, log.read_text()
        assert 60 <= time.monotonic() - began < 100
    (lost,) = [line for line in log.read_text().splitlines() if "lost" in line]
    named = lost.partition("has not taken it: ")[2].split(", ")
    assert {"params", "inputs", "metrics", "results", "the description", "end of run"} <= set(named)
    assert (root / "data/sft/config.json").exists()
    assert MARKER not in log.read_text()
