"""A command whose output is read no longer ends silently, as others do in a shell."""

import os
import runpy
import signal
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from tests import toys
from tools.looking import piped

LONG = "from tools.looking.piped import exit_with; exit_with(lambda: print('x' * 1_000_000) or 3)"
BUFFERED = "from tools.looking.piped import exit_with; exit_with(lambda: print('x') or 3)"


@pytest.mark.parametrize("command", [LONG, BUFFERED])
def test_without_a_reader_it_ends_silently_with_the_code_of_sigpipe(command):
    assert run(["-c", command], toys.REPO) == (128 + signal.SIGPIPE, "")


def test_with_a_reader_the_code_is_the_commands_own():
    done = subprocess.run([sys.executable, "-c", BUFFERED], cwd=toys.REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "x\n", "")


@pytest.mark.parametrize("tool", ["where", "summary"])
def test_the_commands_that_show_much_end_so(tool, monkeypatch):
    monkeypatch.setattr(piped, "exit_with", begun := MagicMock())
    runpy.run_path(str(toys.REPO / f"tools/{tool}.py"), run_name="__main__")
    begun.assert_called_once()


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
