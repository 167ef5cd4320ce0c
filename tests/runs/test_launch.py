"""How a stage is started: alone, as the launcher of several processes, and how its errors are shown."""

import os
import sys

import pytest

from rlhf.runs import launch
from rlhf.runs.recording import endings
from rlhf.runtime import distributed
from rlhf.runtime.waiting import CODE, Waiting
from tests import toys


@pytest.fixture
def here(root, monkeypatch):
    """The current folder is a root, and no launcher has set anything."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["a stage"])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for name in ("WORLD_SIZE", "MASTER_ADDR", "ACCELERATE_USE_CPU", "TRACEBACK", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that what the code sets is undone
        monkeypatch.delenv(name)
    return root


class Replaced(Exception):
    """This process has become another one."""


@pytest.fixture
def executed(monkeypatch):
    """What os.execv was told."""
    calls = []

    def execv(*arguments):
        calls.append(arguments)
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    return calls


def test_a_stage_runs_in_this_process_and_leaves_the_others(here, executed, monkeypatch):
    told = []
    monkeypatch.setattr(distributed, "leave", lambda: told.append("left"))
    launch.run("sft", lambda: told.append("ran"))
    assert told == ["ran", "left"]
    assert executed == []
    assert "OMP_NUM_THREADS" not in os.environ


def test_several_processes_are_started_by_torchrun_with_the_same_arguments(here, executed, monkeypatch):
    toys.set_param(here, "runtime.processes", 3)
    toys.set_param(here, "runtime.threads", 5)
    monkeypatch.setattr(sys, "argv", ["stages/ppo.py", "r1"])
    with pytest.raises(Replaced):
        launch.run_round("ppo", lambda *_: pytest.fail("it is the launcher"))
    words = ["-m", "torch.distributed.run", "--nproc_per_node=3", "--standalone", "-m", "stages.ppo", "r1"]
    assert executed == [(sys.executable, [sys.executable, *words])]
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_a_stage_without_tensors_starts_no_others(here, executed):
    toys.set_param(here, "runtime.processes", 3)
    ran = []
    launch.run_alone("collect_prompts", lambda: ran.append(True))
    assert (ran, executed) == ([True], [])


def test_threads_that_were_chosen_stay(here, executed, monkeypatch):
    toys.set_param(here, "runtime.processes", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(Replaced):
        launch.run("ppo", lambda: None)
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_processes_that_were_started_are_taken_as_they_are(here, executed, monkeypatch):
    toys.set_param(here, "runtime.processes", 3)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    ran = []
    launch.run("ppo", lambda: ran.append(True))
    assert (ran, executed) == ([True], [])


def test_accelerate_that_started_one_of_several_is_refused(here, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(SystemExit) as ended:
        launch.run("ppo", lambda: pytest.fail("the stage began"))
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "ppo: `accelerate launch --cpu` starts one process only, unless by MPI: replace --cpu by --multi_gpu, which "
        "starts them on a CPU as well, or use runtime.processes in params.yaml\n(ValueError; TRACEBACK=1 shows where)\n"
    )


@pytest.mark.parametrize("unset", ["ACCELERATE_USE_CPU", "MASTER_ADDR"])
def test_accelerate_that_was_told_of_one_process_runs_the_stage(here, monkeypatch, unset):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.delenv(unset)
    ran = []
    launch.run("ppo", lambda: ran.append(True))
    assert ran == [True]


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("no disk"), MemoryError("none left")])
def test_an_error_that_a_user_can_mend_is_shown_without_a_traceback(here, monkeypatch, capsys, error):
    def fails():
        raise error

    with pytest.raises(SystemExit) as ended:
        launch.run("sft", fails)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"sft: {error}\n({type(error).__name__}; TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("TRACEBACK", "1")
    with pytest.raises(type(error)):
        launch.run("sft", fails)


@pytest.mark.parametrize("start", ["run", "run_alone", "run_round"])
def test_a_stage_that_fails_before_its_work_has_noted_so(here, monkeypatch, start):
    """Its pipeline's row, which has no run of it, is told by that note (rlhf/runs/recording/reaping.py)."""
    toys.set_param(here, "runtime", "none")
    monkeypatch.setattr(sys, "argv", ["a stage", "no round"])
    with pytest.raises(SystemExit):
        getattr(launch, start)("sft", lambda *_: pytest.fail("it works"))
    (noted,) = endings.read(here.resolve())
    assert (noted.place, noted.status) == ("sft/no round" if start == "run_round" else "sft", "failed")


def test_ctrl_c_ends_with_its_own_code(here):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        launch.run("sft", interrupted)
    assert ended.value.code == 130


@pytest.fixture
def started(here, monkeypatch, capsys):
    """A call of a stage's start with some words on its command line; returns the exit code and what was said."""

    def start(function, stage, *words):
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *words])
        with pytest.raises(SystemExit) as ended:
            function(stage, lambda *_: pytest.fail("it began"))
        return ended.value.code, capsys.readouterr().err

    return start


@pytest.mark.parametrize(("words", "got"), [(["r9"], "got r9"), ([], "none is named"), (["r1", "r2"], "got r1 r2")])
def test_a_round_that_params_do_not_list_is_named_beside_those_they_do(started, words, got):
    code, said = started(launch.run_round, "ppo", *words)
    assert code == 1
    assert f"python -m stages.ppo: expected a round of params.yaml: r1 ({got})" in said
    assert "ConnectionError" not in said


@pytest.mark.parametrize("function", [launch.run, launch.run_alone])
def test_words_that_nobody_reads_are_refused(started, function):
    code, said = started(function, "sft", "r1")
    assert code == 1
    assert "takes no arguments (got r1)" in said


def test_a_round_is_handed_on(here, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ppo.py", "r1"])
    found = []
    launch.run_round("ppo", lambda _root, name: found.append(name))
    assert found == ["r1"]


def test_a_stage_that_waits_ends_with_a_code_of_its_own_and_its_line(here, monkeypatch, capsys):
    monkeypatch.setenv("TRACEBACK", "1")  # it is no error, and has none

    def wait() -> None:
        raise Waiting("3 of 4 prompts of round r1 wait for labels")

    with pytest.raises(SystemExit) as end:
        launch.run("sft", wait)
    assert end.value.code == CODE == 75
    assert capsys.readouterr().err == "sft: 3 of 4 prompts of round r1 wait for labels\n"
    assert [ending.status for ending in endings.read(here)] == ["killed"]
