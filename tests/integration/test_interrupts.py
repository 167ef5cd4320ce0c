"""Ctrl-C ends a program with one line and exit code 130: while it imports, whatever libraries make of it, and later."""

import os
import signal
import subprocess
import sys

import pytest

from rlhf.runs import launch
from rlhf.runtime import interrupts
from tests import toys

PROGRAMS = [
    f"{package}.{path.stem}"
    for package in ("stages", "tools", "study")
    for path in sorted((toys.REPO / package).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
# presses Ctrl-C once, when the program's own file begins to import what its package has not: libraries, most of all
SITE = """
import os, signal, sys
class AtFirstImport:
    def find_spec(self, name, *_):
        if sys.argv[:1] != ["-m"] and sys.meta_path[0] is self:
            sys.meta_path.remove(self)
            {press}
sys.meta_path.insert(0, AtFirstImport())
"""
PRESS = "os.kill(os.getpid(), signal.SIGINT)"


def interrupted(folder, program: str, press: str, **more) -> subprocess.CompletedProcess:
    (folder / "sitecustomize.py").write_text(SITE.format(press=press))
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(toys.REPO)])
    command = [sys.executable, "-m", program]
    more.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's job ignores it
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60, **more
    )


@pytest.mark.process
@pytest.mark.parametrize("program", PROGRAMS)
def test_while_importing(tmp_path, program):
    answer = interrupted(tmp_path, program, PRESS)
    assert (answer.returncode, answer.stderr) == (130, f"{program}: interrupted\n")


@pytest.mark.process
def test_a_library_that_swallows_it_does_not_keep_a_stage_going(tmp_path):
    answer = interrupted(tmp_path, "stages.ppo", f"exec('try: {PRESS}\\nexcept BaseException: pass')")
    assert (answer.returncode, answer.stderr) == (130, "stages.ppo: interrupted\n")


@pytest.mark.process
def test_where_it_is_ignored_it_stays_ignored(tmp_path):
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    answer = interrupted(tmp_path, "stages.collect_prompts", PRESS, **ignoring)
    assert "interrupted" not in answer.stderr
    assert "params.yaml" in answer.stderr  # which is not there


@pytest.mark.process
def test_other_errors_of_a_command_keep_their_traceback(tmp_path):
    answer = interrupted(tmp_path, "tools.check", "raise RuntimeError('broken')")
    assert answer.returncode == 1
    assert answer.stderr.startswith("Traceback")
    assert answer.stderr.endswith("RuntimeError: broken\n")


def test_a_stage_that_has_begun_is_interrupted_by_an_exception(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["-m"])
    previous, hook = signal.getsignal(signal.SIGINT), sys.excepthook
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupts.end_while_importing()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        monkeypatch.setattr(sys, "argv", ["sft.py"])
        found = []
        launch.run("sft", lambda: found.append(signal.getsignal(signal.SIGINT)))
        assert found == [signal.default_int_handler]
    finally:
        signal.signal(signal.SIGINT, previous)
        sys.excepthook = hook


def test_programs_that_only_import_a_package_keep_their_own_way(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    before = signal.getsignal(signal.SIGINT), sys.excepthook
    interrupts.end_while_importing()
    interrupts.end_without_traceback()
    assert (signal.getsignal(signal.SIGINT), sys.excepthook) == before
