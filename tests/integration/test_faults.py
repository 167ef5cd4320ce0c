"""Kills, damaged states and another path: the pipeline ends in the bytes of a run that nothing disturbed."""

import json
import os
import re
import shutil
import subprocess
import time

import psutil
import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import lineage
from tests.integration import services
from tests.integration.conftest import environment, run
from tools import reproduce


def test_kills_of_every_training_stage_end_in_the_same_bytes(copy, pipeline):
    own = environment(copy) | {"PYTHONPATH": str(copy)}
    command = ["python", "-m", "tests.faults", "--kills", "24", "--seed", "1", "--root", str(copy)]
    answer = subprocess.run(command, cwd=copy, env=own, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["kills"] >= 24
    assert found["byte_identical"]
    assert len(found["by_stage"]) == 8
    assert all(stage["kills"] >= 3 and stage["byte_identical"] for stage in found["by_stage"].values())


def test_dvc_repro_goes_on_after_a_kill_in_the_same_mlflow_run(copy):
    """Kill -9 of a stage under DVC; the next `dvc repro` ends in the same dvc.lock, its curve has no point twice."""
    from mlflow import MlflowClient

    lock, params = (copy / "dvc.lock").read_text(), copy / "params.yaml"
    params.write_text(re.sub(r"(every_seconds: +)[\d.]+", r"\g<1>0", params.read_text()))
    command = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", "ppo@r1"]
    process = subprocess.Popen(command, cwd=copy, env=environment(copy), stdout=subprocess.PIPE, text=True)
    states = copy / ".checkpoints/ppo/r1"
    while process.poll() is None and len(list(states.glob("*/*.pt"))) < 2:
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


def test_params_that_are_edited_while_a_stage_runs_are_not_recorded_as_its_own(copy):
    """The stage is refused; with the edit undone, DVC has what the finished training kept, under the right params."""
    lock = copy / "dvc.lock"
    before, command = lock.read_text(), ["dvc", "repro", "--single-item", "--no-run-cache", "sft"]
    epochs = r"(^sft:\n(?:  .*\n)*?  epochs: )\d"
    change(copy, epochs, "2")
    process = subprocess.Popen(
        command, cwd=copy, env=environment(copy), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if line.startswith("sft  1/"):
            break
    change(copy, epochs, "3")
    told, _ = process.communicate()
    assert process.returncode != 0
    assert "params.yaml: sft.epochs became 3, while sft runs with 2" in told
    assert lock.read_text() == before
    change(copy, epochs, "2")
    assert "goes on after step" in run(copy, *command)
    assert read_yaml(lock)["stages"]["sft"]["params"]["params.yaml"]["sft"]["epochs"] == 2
    assert "up to date" in run(copy, *command)


def test_a_clone_at_another_path_makes_the_same_bytes(pipeline, tmp_path, monkeypatch):
    for name, value in environment(pipeline.root).items():
        monkeypatch.setenv(name, value)
    made = reproduce.remade(pipeline.root, tmp_path / "much/deeper/clone", None)
    assert made == reproduce.flat_outs(pipeline.root, "HEAD")
    assert len(made) > 20


def stage(root, name: str) -> subprocess.CompletedProcess:
    """Run sft by hand, as DVC would: without its old outputs."""
    shutil.rmtree(root / f"data/{name}")
    command = ["python", "-m", f"stages.{name}"]
    return subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)


def change(root, pattern: str, value: str) -> None:
    params = root / "params.yaml"
    text, count = re.subn(pattern, rf"\g<1>{value}", params.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    params.write_text(text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_under_the_states_costs_warnings_and_no_byte(copy):
    before = lineage.dvc_md5(copy / "data/sft")
    change(copy, r"(every_seconds: +)[\d.]+", "0")
    disk = copy / ".checkpoints"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=True)
    try:
        answer = stage(copy, "sft")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert answer.returncode == 0, answer.stderr
    assert "could not be kept" in answer.stderr
    assert "No space left on device" in answer.stderr
    assert lineage.dvc_md5(copy / "data/sft") == before


def test_a_server_that_dies_midway_costs_a_warning_and_no_byte(copy, tmp_path):
    before = lineage.dvc_md5(copy / "data/sft")
    database = f"sqlite:///{tmp_path / 'server.db'}"
    (tmp_path / "server").mkdir()
    shutil.rmtree(copy / "data/sft")
    with services.mlflow_server(tmp_path / "server", database) as uri:
        change(copy, r"^( +uri: ).*", uri)
        process = subprocess.Popen(
            ["python", "-m", "stages.sft"],
            cwd=copy, env=environment(copy), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for line in process.stdout:
            if line.startswith("sft  1/"):
                break
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "WARNING: sft: MLflow did not take" in errors
    assert lineage.dvc_md5(copy / "data/sft") == before


def test_a_damaged_cache_is_noticed_and_made_good(copy):
    """A file of DVC's cache is overwritten; repro makes the same bytes."""
    lock = (copy / "dvc.lock").read_text()
    md5 = lineage.locked_outs(copy)["sft"]["data/sft"]
    folder = json.loads((copy / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").read_text())
    weights = next(entry["md5"] for entry in folder if entry["relpath"] == "model.safetensors")
    cached = copy / f".dvc/cache/files/md5/{weights[:2]}/{weights[2:]}"
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-1] + b"x")
    shutil.rmtree(copy / "data/sft")
    told = run(copy, "dvc", "repro", "--no-run-cache", "--single-item", "--force", "sft")
    assert "Running stage 'sft'" in told
    assert (copy / "dvc.lock").read_text() == lock
    shutil.rmtree(copy / "data/sft")
    run(copy, "dvc", "checkout", "sft")
    assert lineage.dvc_md5(copy / "data/sft") == md5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a folder read-only")
def test_what_a_read_only_cache_does_not_take_stays_in_the_workspace(copy):
    """DVC says why it failed, what the stage made is still there, and `dvc commit` takes it in later."""
    lock, cache = (copy / "dvc.lock").read_text(), copy / ".dvc/cache"
    change(copy, r"^(sft:\n(?: .*\n)*?  batch_size: )\d+", "5")
    subprocess.run(["mount", "--bind", str(cache), str(cache)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(cache)], check=True)
        command = ["dvc", "repro", "--single-item", "sft"]
        answer = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", str(cache)], check=True)
    assert answer.returncode != 0
    assert "Read-only file system" in answer.stdout + answer.stderr
    made = lineage.dvc_md5(copy / "data/sft")
    assert made != lineage.locked_outs(copy)["sft"]["data/sft"]
    assert (copy / "dvc.lock").read_text() == lock
    run(copy, "dvc", "commit", "--force", "sft")
    assert lineage.locked_outs(copy)["sft"]["data/sft"] == made


def test_of_two_repros_at_once_one_says_that_the_other_runs(copy):
    lock = (copy / "dvc.lock").read_text()
    command = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", "sft"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(command, cwd=copy, env=environment(copy), **pipes) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert sorted(process.returncode == 0 for process in both) in ([False, True], [True, True])
    for process, text in zip(both, told, strict=True):
        assert process.returncode == 0 or "busy" in text or "lock" in text
    assert (copy / "dvc.lock").read_text() == lock


def test_two_ablations_through_the_queue_share_one_database(copy):
    from mlflow import MlflowClient

    for name, value in (("low_kl", 0.01), ("high_kl", 0.9)):
        (copy / f"{name}.yaml").write_text(f"ppo:\n  kl_coef: {value}\n")
    told = run(copy, "python", "-m", "tools.ablate", "low_kl.yaml", "high_kl.yaml", "-j", "2")
    table = told[told.index("Mean score on the same prompts") :].splitlines()
    assert [line.split()[0] for line in table[2:5]] == ["params.yaml", "low_kl", "high_kl"]
    assert all(re.search(r"[+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\)", line) for line in table[3:5]), told
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    for name, value in (("low_kl", "0.01"), ("high_kl", "0.9")):
        (parent,) = client.search_runs([experiment], f"attributes.run_name LIKE '{name} @%'")
        assert parent.data.params["ppo.kl_coef"] == value
        assert "evaluate.win_rate.ppo_vs_sft.mean" in parent.data.metrics
