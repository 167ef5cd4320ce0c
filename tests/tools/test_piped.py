"""How commands end: silently where nobody reads them, and by a sentence where a file that they read is broken."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from rlhf.runs import changes
from tests import toys
from tools import ablate, audit, check, pin, presets, summary, ui, where
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


CONFLICT = "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> theirs\n"
BROKEN = (
    CONFLICT,
    "",
    "[]",
    "{}",
    "a: [",
    "\0",
    "stages: 3",
    "evaluate: 3",
    '{"evaluate": {"win_rate": 3}}',
    "rounds: 3",
)
READ = ("params.yaml", "dvc.yaml", "dvc.lock", "metrics/evaluate.json", "metrics/reward_model/r1.json", "mine.yaml")
LOCK = """
schema: '2.0'
stages:
  sft:
    cmd: python -m stages.sft
    outs:
    - {path: data/sft, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 1, nfiles: 1}
"""
COMMANDS = {
    "check": lambda root: check.main([], root),
    "where": lambda root: where.main([], root),
    "summary": lambda root: summary.main(root),
    "ui": lambda root: int(not ui.look(root, "http://localhost:5000")),
    "presets": lambda root: presets.main([str(root / "mine.yaml")], root),
    "pin": lambda root: pin.main([str(root / "mine.yaml")]),
    "ablate": lambda root: ablate.main([str(root / "mine.yaml"), "--table"], root),
    "audit": lambda root: audit.main([str(root / "none")], root),
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in READ[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name != "dvc.lock":  # there is none where nothing has run
            shutil.copy(toys.REPO / name, tmp_path / name)
    (tmp_path / "dvc.lock").write_text(LOCK)
    shutil.copytree(toys.REPO / "presets", tmp_path / "presets")
    (tmp_path / "mine.yaml").write_text("preset: laptop\nseed: 3\n")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///absent.db")
    monkeypatch.setattr(changes, "in_a_line", lambda *_: None)  # it asks DVC, which takes seconds
    return tmp_path


def ended(command, root, capsys) -> tuple[int, list[str]]:
    """Return exit code and lines on stderr of a command that ends as it does in a shell."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        piped.exit_with(lambda: COMMANDS[command](root))
    return end.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", READ)
def test_a_broken_file_is_named_and_nobody_sees_a_traceback(repository, capsys, command, name):
    sound = ended(command, repository, capsys)
    (repository / name).unlink()
    (repository / name).mkdir()
    for content in (None, *BROKEN):
        if content is not None:
            shutil.rmtree(repository / name, ignore_errors=True)
            (repository / name).write_text(content)
        code, said = ended(command, repository, capsys)
        assert (code, said) == sound or any(name in line for line in said), content
        assert code in (0, 1, 2)


def test_what_a_user_can_mend_is_one_line_unless_the_place_is_asked_for(capsys, monkeypatch):
    def fails():
        raise ValueError("a: expected b")

    with pytest.raises(SystemExit, match="1"):
        piped.exit_with(fails)
    assert capsys.readouterr().err == "a: expected b (ValueError; TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("TRACEBACK", "1")
    with pytest.raises(ValueError, match="expected b"):
        piped.exit_with(fails)


def test_a_preset_is_one_of_those_that_are_listed(repository, capsys):
    (repository / "outside.yaml").write_text((repository / "params.yaml").read_text())
    for name in ("../outside", "a" * 5000, '"a\\0b"', "[laptop]"):
        (repository / "mine.yaml").write_text(f"preset: {name}\nseed: 3\n")
        for command in ("presets", "ablate"):
            code, said = ended(command, repository, capsys)
            assert (code, len(said)) == (2, 1), name
            assert "mine.yaml: preset: expected one of cuda" in said[0]


def test_a_port_that_is_none_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(ui, "look", lambda *_: pytest.fail("it went on"))
    for port in ("0", "-1", "65536", "99999999"):
        with pytest.raises(SystemExit, match="2"):
            ui.main([f"--port={port}"])
        assert "expected a number from 1 to 65535" in capsys.readouterr().err


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
