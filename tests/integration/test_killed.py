"""Stages and recorders that are killed, as processes of their own: what MLflow holds afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.runs import tracking
from rlhf.runtime import outputs
from tests import notebook
from tests.runs.test_tracking import REPO, bare, parent_of, root, store  # noqa: F401

# ruff: noqa: F811


def start_stage(root: Path, stage: str, work: str = "pass") -> subprocess.Popen:
    """Start a process of its own, and so a session of its own, that does `work` in a stage run."""
    script = (
        "import time; from pathlib import Path; from rlhf.runs import tracking\n"
        f"with tracking.stage_run(Path('.'), '{stage}') as run: {work}"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment, stdout=subprocess.PIPE)


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_stage_becomes_killed_at_once_or_at_the_next_start(root, number, monkeypatch):
    with start_stage(root, "sft", "run.progress(1, 2, {}); time.sleep(60)") as process:
        assert b"sft  1/2" in process.stdout.readline()
        process.send_signal(number)
        process.wait(timeout=120)
    if number == signal.SIGKILL:
        assert store(root)[2]["sft"].info.status == "RUNNING"
        monkeypatch.setattr(tracking, "MlflowWorker", notebook.InProcess)
        with tracking.stage_run(root, "ppo", "r1"):
            pass
    assert store(root)[2]["sft"].info.status == "KILLED"
    assert parent_of(root, "sft").info.status == "KILLED"


BEFORE_KILL_9 = {
    "before MLflow is open": "print('sft  7/9', flush=True)",
    "before the answer is read": "run._recorder._pipe.poll(120); print('sft  7/9', flush=True)",
    "in training": "run.progress(7, 9, {})",
}


@pytest.mark.process
@pytest.mark.parametrize("when", list(BEFORE_KILL_9))
def test_what_a_stage_said_before_kill_9_is_recorded(root, when):
    logged = "[run.log_metrics({'loss': step}, step) for step in range(1, 8)]"
    with start_stage(root, "sft", f"{logged}; {BEFORE_KILL_9[when]}; time.sleep(60)") as process:
        assert b"sft  7/9" in process.stdout.readline()
        process.kill()
        process.stdout.read()  # until the recorder has ended too
    client, _, runs = store(root)
    history = client.get_metric_history(runs["sft"].info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(step, float(step)) for step in range(1, 8)]


@pytest.mark.process
def test_a_recorder_that_dies_costs_a_warning_and_not_the_model(root, capsys):
    with tracking.stage_run(root, "sft") as run:
        run.progress(1, 2, {})
        run._recorder._process.kill()
        run._recorder._process.wait()
        for step in (1, 2):
            run.log_metrics({"loss": 1.0}, step=step)
        outputs.write_metrics(root, "sft", {"loss": 0.25})
    assert capsys.readouterr().err.count("the process that records in MLflow has ended") == 1
    assert (root / "metrics/sft.json").exists()
