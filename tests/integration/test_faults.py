"""Kills, damaged states and another path: the pipeline ends in the bytes of a run that nothing disturbed."""

import json
import re
import shutil
import subprocess
import time

import psutil
import pytest

from stages import reproduce
from tests.integration.conftest import environment, run


@pytest.fixture
def copy(pipeline, tmp_path):
    """A copy of the finished pipeline, for a test to disturb."""
    root = tmp_path / "copy"
    shutil.copytree(pipeline.root, root, symlinks=True)
    return root


def test_thirty_kills_end_in_the_same_bytes(copy, pipeline):
    own = environment(copy) | {"PYTHONPATH": str(copy)}
    command = ["python", "-m", "tests.faults", "--kills", "30", "--seed", "1", "--root", str(copy)]
    answer = subprocess.run(command, cwd=copy, env=own, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["kills"] >= 30
    assert found["byte_identical"]
    assert len(found["by_stage"]) == 6
    assert all(stage["kills"] >= 5 and stage["byte_identical"] for stage in found["by_stage"].values())


def test_dvc_repro_goes_on_after_a_kill_in_the_same_mlflow_run(copy):
    """Kill -9 of a stage under DVC; the next `dvc repro` ends in the same dvc.lock, its curve has no point twice."""
    from mlflow import MlflowClient

    lock, params = (copy / "dvc.lock").read_text(), copy / "params.yaml"
    params.write_text(re.sub(r"(every_seconds: +)[\d.]+", r"\g<1>0", params.read_text()))
    command = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", "ppo@r1"]
    process = subprocess.Popen(command, cwd=copy, env=environment(copy), stdout=subprocess.PIPE, text=True)
    states = copy / ".checkpoints/ppo/r1"
    while process.poll() is None and len(list(states.glob("*/*.safetensors"))) < 2:
        time.sleep(0.01)
    (stage,) = (
        child for child in psutil.Process(process.pid).children(recursive=True) if "stages.ppo" in child.cmdline()
    )
    stage.kill()
    process.communicate()
    assert process.returncode != 0
    told = run(copy, *command)
    assert "goes on after step" in told
    assert (copy / "dvc.lock").read_text() == lock
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    newest = client.search_runs([experiment], "tags.`dvc.stage` = 'ppo@r1'")[0]
    assert newest.info.status == "FINISHED"
    assert newest.info.run_id in told
    steps = [point.step for point in client.get_metric_history(newest.info.run_id, "score")]
    assert sorted(steps) == sorted(set(steps))
    curve = (copy / "metrics/plots/ppo/r1.csv").read_text().splitlines()[1:]
    assert {int(line.split(",")[0]) for line in curve} <= set(steps)


def test_a_clone_at_another_path_makes_the_same_bytes(pipeline, tmp_path, monkeypatch):
    for name, value in environment(pipeline.root).items():
        monkeypatch.setenv(name, value)
    made = reproduce.remade(pipeline.root, tmp_path / "much/deeper/clone", None)
    assert made == reproduce.flat_outs(pipeline.root, "HEAD")
    assert len(made) > 20
