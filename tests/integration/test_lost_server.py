"""A tracking server that answers once and then drops connections: what is said of it holds no password."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import loopback, toys
from tests.runs.test_tracking import write_params

MARKER = "Xmarker73Xmarker"
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
STAGE = """
from pathlib import Path
from rlhf.runs import launch, tracking
def main():
    with tracking.stage_run(Path("."), "sft") as run:
        run.progress(1, 1, {})
launch.run_alone("sft", main)
"""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says it is well, and drops every other request."""
    with loopback.serving(lambda path: loopback.Answer(200) if path.endswith("/health") else None) as found:
        yield found


def said_by(root: Path, command: list[str], **environment: str) -> str:
    own = os.environ | {"PYTHONPATH": str(toys.REPO)} | IMPATIENT | environment
    own = {name: value for name, value in own.items() if name != "DVC_STAGE"}
    ended = subprocess.run([sys.executable, *command], cwd=root, env=own, capture_output=True, text=True, check=False)
    assert ended.returncode != 0 or "MLflow cannot read" in ended.stdout, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.process
@pytest.mark.parametrize("named_by", ["params.yaml", "the environment"])
def test_a_stage_says_that_its_server_is_lost_without_the_password(tmp_path, port, named_by):
    uri = f"http://user:{MARKER}@127.0.0.1:{port}"
    write_params(tmp_path, uri=uri if named_by == "params.yaml" else "null")
    said = said_by(tmp_path, ["-c", STAGE], TRACEBACK="1", MLFLOW_TRACKING_URI=uri, MLFLOW_LOGGING_LEVEL="DEBUG")
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" in said
    assert MARKER not in said
    for file in (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "params.yaml"):
        assert MARKER.encode() not in file.read_bytes(), file
