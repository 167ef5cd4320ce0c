"""Which dvc a stage belongs to, and what happens where two processes want the same outputs or dvc is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from rlhf.runs import sessions
from rlhf.runs.stage_name import StageName

REPO = Path(__file__).resolve().parents[2]


def test_a_process_of_which_only_the_pid_is_the_same_is_gone():
    host, pid, created = sessions.own_process().rsplit(" ", 2)
    boot, seconds = created.split("/")
    assert not sessions.is_gone(sessions.own_process())
    assert sessions.is_gone(f"{host} {pid} {boot}/{float(seconds) - 1:.2f}")
    assert sessions.is_gone(f"{host} {pid} 00000000/{seconds}"), "of another start of the machine"
    assert sessions.is_gone(f"{host} 999999999 1.00")
    assert not sessions.is_gone(f"{host}-elsewhere {pid} 1.00"), "of another host nothing is known"


def test_a_process_of_a_container_with_this_hosts_name_is_elsewhere(tmp_path, monkeypatch):
    """`docker run --net=host`: its pids mean others here."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.symlink_to("pid:[4026532000]")
    outside.symlink_to(sessions.PIDS_OF_THE_HOST)
    monkeypatch.setattr(sessions, "PIDS", inside)
    host, _, rest = sessions.own_process().rsplit(" ", 2)
    of_container = f"{host} 999999999 {rest}"
    assert sessions.is_gone(of_container)
    monkeypatch.setattr(sessions, "PIDS", outside)
    assert (sessions.is_elsewhere(of_container), sessions.is_gone(of_container)) == (True, False)
    assert sessions.own_process().split(" ")[0] == sessions.socket.gethostname()
    assert not sessions.is_elsewhere(sessions.own_process())


def test_a_clock_that_is_set_leaves_a_process_what_it_is(monkeypatch):
    """Waking from sleep, or a time server's correction, moves the moment at which all processes have begun."""
    import psutil

    identity, began, booted = sessions.own_process(), sessions.began(sessions.own_process()), psutil.boot_time()
    assert abs(began / 1000 - psutil.Process().create_time()) < 0.1
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 7)
    assert psutil.Process().create_time() - began / 1000 > 6
    assert (sessions.own_process(), sessions.is_gone(identity)) == (identity, False)
    assert abs(sessions.began(identity) - began - 7000) < 1


def test_a_process_that_ended_and_that_nobody_waited_for_is_gone():
    import psutil

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], **pipes) as child:
        assert child.stdout is not None
        child.stdout.readline()
        identity = sessions._identity(psutil.Process(child.pid))
        assert not sessions.is_gone(identity)
        assert sessions.command_of(identity)[-1].endswith("input()")
        child.kill()
        child.stdout.read()
        time.sleep(0.2)
        assert sessions.is_gone(identity)
        assert sessions.command_of(identity) == []


def test_an_orphan_whose_new_parent_is_no_dvc_or_cannot_be_read_is_a_session_of_its_own(monkeypatch):
    """The parent of orphans is often another user's: psutil refuses its environment."""
    import psutil

    class Init:
        pid = 1

        def __init__(self, words):
            self.words = words

        def environ(self):
            if self.words is None:
                raise psutil.AccessDenied(1)
            return {}

        def cmdline(self):
            return self.words

    monkeypatch.setenv("DVC_STAGE", "sft")
    for words in (None, ["/sbin/init"], ["/usr/lib/systemd/systemd", "--user"]):
        monkeypatch.setattr(psutil.Process, "parents", lambda _self, words=words: [Init(words)])
        assert sessions.is_by_hand()
        assert sessions.dvc_process() == sessions.own_process()
        with pytest.raises(ProcessLookupError, match="sft has ended"), sessions.ending_with_dvc():
            pytest.fail("the stage began")


def test_a_second_process_of_a_stage_is_told_of_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sessions, "PATIENCE", 0.1)
    name = StageName("ppo", "r1")
    with sessions.alone(tmp_path, name):
        with sessions.alone(tmp_path, StageName("sft")):
            pass
        said = rf"data/ppo/r1 is being made by process {os.getpid()} .*since \d\d:"
        with pytest.raises(BlockingIOError, match=said), sessions.alone(tmp_path, name):
            pytest.fail("both ran")
    assert "waiting 0.1 s for its end" in capsys.readouterr().err
    with sessions.alone(tmp_path, name):
        pass


@pytest.mark.parametrize(("mode", "path"), [("read", "data/sft"), ("write", "data/sft"), ("write", "data/sft/a")])
def test_by_hand_a_stage_does_not_change_what_dvc_uses(tmp_path, mode, path):
    used = {"pid": os.getpid(), "cmd": "dvc repro"}
    locks = {"read": {}, "write": {}} | {mode: {str(tmp_path / path): [used] if mode == "read" else used}}
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(json.dumps(locks))
    said = f"dvc repro .process {os.getpid()}. {mode}s it"
    with pytest.raises(BlockingIOError, match=said), sessions.alone(tmp_path, StageName("sft")):
        pytest.fail("it ran")
    with sessions.alone(tmp_path, StageName("judge")):
        pass


def test_what_a_dead_dvc_left_in_its_table_of_locks_hinders_nobody(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    used = {"pid": 999999999, "cmd": "dvc repro"}
    (tmp_path / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(tmp_path / "data/sft"): used}}))
    with sessions.alone(tmp_path, StageName("sft")):
        pass


@pytest.mark.process
def test_a_stage_ends_within_seconds_of_the_dvc_that_started_it(tmp_path):
    """`dvc` here is a Python that starts a stage as DVC does, and is killed."""
    stage = (
        "import time; from rlhf.runs import sessions\n"
        "with sessions.ending_with_dvc():\n    print('began', flush=True); time.sleep(60)"
    )
    dvc = (
        "import os, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {stage!r}], env=os.environ | {{'DVC_STAGE': 'sft'}})"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    with subprocess.Popen(
        [sys.executable, "-c", dvc],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "began\n"
        began = time.monotonic()
        process.send_signal(signal.SIGKILL)
        said = process.stderr.read()  # until the stage has ended too
    assert time.monotonic() - began < 30
    assert "dvc has ended" in said


@pytest.fixture
def beside(tmp_path):
    """A repository, and another folder with a file."""
    (tmp_path / "project/data").mkdir(parents=True)
    (tmp_path / "another").mkdir()
    (tmp_path / "another/kept").write_text("kept")
    return tmp_path / "project", tmp_path / "another"


@pytest.mark.parametrize("is_there", [True, False])
def test_an_output_that_is_a_link_is_refused_before_the_work(beside, is_there):
    project, another = beside
    (project / "data/sft").symlink_to(another if is_there else another / "absent")
    refused = pytest.raises(ValueError, match="is a link to .*another.*Remove the link")
    with refused, sessions.alone(project, StageName("sft")):
        pytest.fail("it began")
    assert (another / "kept").read_text() == "kept"
    assert (project / "data/sft").is_symlink()


@pytest.mark.parametrize("folder", ["data", "metrics"])
def test_under_dvc_a_folder_of_outputs_elsewhere_is_refused_before_the_work(beside, monkeypatch, folder):
    project, another = beside
    (project / "data").rmdir()
    (project / folder).symlink_to(another)
    with sessions.alone(project, StageName("sft")):
        pass
    monkeypatch.setattr(sessions, "is_by_hand", lambda: False)
    refused = pytest.raises(ValueError, match=f"{folder}/sft lies behind a link, at .*another/sft")
    with refused, sessions.alone(project, StageName("sft")):
        pytest.fail("it began")
    (project / folder).unlink()
    (project / "store").mkdir()
    (project / folder).symlink_to("store")
    with sessions.alone(project, StageName("sft")):
        assert (another / "kept").read_text() == "kept"


@pytest.mark.parametrize("name", ["it's", 'say "so"', "both ' and \"", "a`b`c", "a\\b", "100%27"])
def test_an_experiments_name_with_quotes_makes_a_key_without_them(monkeypatch, name):
    monkeypatch.setenv("DVC_EXP_NAME", name)
    key = sessions.session_key("host 1 2.00")
    assert key.startswith("host 1 2.00 ")
    assert not set(key) & set("'\"`\\")
    assert unquote(key) == f"host 1 2.00 {name}"
