"""A command whose output is read no longer ends silently, as others do in a shell."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from tests import toys

LONG = "from tools.looking.piped import exit_with; exit_with(lambda: print('x' * 1_000_000) or 3)"
BUFFERED = "from tools.looking.piped import exit_with; exit_with(lambda: print('x') or 3)"


@pytest.mark.parametrize("command", [LONG, BUFFERED])
def test_without_a_reader_it_ends_silently_with_the_code_of_sigpipe(command):
    assert run(["-c", command], toys.REPO) == (128 + signal.SIGPIPE, "")


def test_with_a_reader_the_code_is_the_commands_own():
    done = subprocess.run([sys.executable, "-c", BUFFERED], cwd=toys.REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "x\n", "")


def test_a_summary_that_nobody_reads_ends_so():
    assert run(["-m", "tools.summary"], toys.REPO) == (128 + signal.SIGPIPE, "")


def test_a_list_of_artifacts_that_nobody_reads_ends_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///absent.db")
    monkeypatch.setenv("PYTHONPATH", str(toys.REPO))
    for name in ["params.yaml", "dvc.yaml"]:
        shutil.copy(toys.REPO / name, tmp_path)
    made = {"path": "data/sft", "hash": "md5", "md5": "0" * 32 + ".dir", "size": 1, "nfiles": 1}
    lock = {"schema": "2.0", "stages": {"sft": {"cmd": "python -m stages.sft", "outs": [made]}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    code, error = run(["-m", "tools.where"], tmp_path)
    assert (code, "Traceback" in error, "BrokenPipe" in error) == (128 + signal.SIGPIPE, False, False)


def run(arguments, folder) -> tuple[int, str]:
    """Return exit code and errors of a command whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    return done.returncode, done.stderr
