"""Runs on a shared MLflow server, data in shared remotes: another clone gets working checkpoints and their lineage."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from rlhf.runs import lineage
from rlhf.runtime.flat import flat_numbers
from tests import loopback
from tests.integration import services
from tests.integration.conftest import environment, run

KL_COEFS = {"ada": 0.3, "ben": 0.6}  # of two users; ada's second run has LATER
LATER = 0.9
A_MONTH_AGO = "2026-01-15T12:00:00+00:00"


@pytest.fixture(scope="module")
def team() -> Iterator[services.Services]:
    with services.running() as found:
        yield found


@pytest.fixture(scope="module")
def shared(pipeline, team, tmp_path_factory):
    """A copy of the finished pipeline whose sft ran again on the shared server, committed."""
    root = tmp_path_factory.mktemp("team") / "first"
    shutil.copytree(pipeline.root, root, symlinks=True)
    change(root, r"^( +uri: ).*", team.mlflow)
    told = run(root, "dvc", "repro", "--force", "--single-item", "--no-run-cache", "sft")
    assert f"{team.mlflow}/#/experiments/" in told
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "on the shared server")
    return root


def change(root: Path, pattern: str, value: object) -> None:
    """Put a value behind the pattern's group in params.yaml."""
    params = root / "params.yaml"
    text, count = re.subn(pattern, rf"\g<1>{value}", params.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    params.write_text(text)


def change_kl(root: Path, value: float) -> None:
    change(root, r"^(ppo:\n(?: .*\n)*?  kl_coef: )\S+", value)


def use_s3(root: Path, team: services.Services) -> None:
    run(root, "dvc", "remote", "add", "--local", "--default", "--force", "shared", f"s3://{services.BUCKET}/users")
    run(root, "dvc", "remote", "modify", "--local", "shared", "endpointurl", team.s3)


def together(roots: Sequence[Path], *command: str) -> None:
    """Run a command in several folders at once."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(command, cwd=root, env=environment(root), **pipes) for root in roots]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(roots), said


def commit(root: Path, message: str, date: str | None = None) -> None:
    run(root, "git", "add", "--all")
    dated = [] if date is None else ["--date", date]
    run(root, "git", "commit", "--quiet", "--message", message, *dated)


def listed_metrics(root: Path) -> dict[str, float]:
    """Return the numbers of the metrics that dvc.lock lists."""
    files = {path for outs in lineage.locked_outs(root).values() for path in outs if re.match(r"metrics/.*json", path)}
    assert len(files) > 5
    found: dict[str, float] = {}
    for file in files:
        found |= flat_numbers(json.loads((root / file).read_text()))
    return found


@pytest.fixture(scope="module")
def users(shared, team, tmp_path_factory) -> Iterator[dict[str, Path]]:
    """Two clones that ran and pushed at once; the first one's commit is old, and another run follows it."""
    place = tmp_path_factory.mktemp("users")
    roots = {name: place / name / "clone" for name in KL_COEFS}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in services.KEY.items():
            patch.setenv(name, value)
        use_s3(shared, team)
        run(shared, "dvc", "push")
        for name, root in roots.items():
            subprocess.run(["git", "clone", "--quiet", shared, root], check=True)
            use_s3(root, team)
            change_kl(root, KL_COEFS[name])
        together(list(roots.values()), "dvc", "pull")
        together(list(roots.values()), "dvc", "repro")
        together(list(roots.values()), "dvc", "push")
        for name, root in roots.items():
            commit(root, f"{name}'s", A_MONTH_AGO)
        yield roots


@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_another_clone_pulls_working_checkpoints_and_finds_their_runs(shared, team, tmp_path, monkeypatch, kind):
    for name, value in services.KEY.items():
        monkeypatch.setenv(name, value)
    remote = {"s3": f"s3://{services.BUCKET}/dvc", "ssh": team.ssh}[kind]
    settings = {"s3": [("endpointurl", team.s3)], "ssh": [("keyfile", str(team.ssh_key))]}[kind]
    other = tmp_path / "second"
    subprocess.run(["git", "clone", "--quiet", shared, other], check=True)
    for root in (shared, other):
        run(root, "dvc", "remote", "add", "--local", "--default", "--force", "shared", remote)
        for name, value in settings:
            run(root, "dvc", "remote", "modify", "--local", "shared", name, value)
    run(shared, "dvc", "push")
    assert not (other / "data/sft").exists()
    run(other, "dvc", "pull")
    assert "up to date" in run(other, "dvc", "repro")
    load = (
        "from rlhf.models import loading; from tests import toys; "
        "print(loading.load_policy('data/sft', toys.runtime()))"
    )
    assert "ForCausalLM" in run(other, "python", "-c", load)
    told = run(other, "python", "-m", "tools.where", "data/sft")
    assert f"{team.mlflow}/#/experiments/" in told
    assert "by pretrain" in told


def test_the_server_keeps_runs_in_postgresql_and_hands_out_checkpoints(shared, team, tmp_path, monkeypatch):
    import psycopg
    from mlflow import MlflowClient
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client = MlflowClient(team.mlflow)
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    (run_of_sft,) = client.search_runs([experiment], "tags.`dvc.stage` = 'sft'")
    with psycopg.connect(team.database) as database:
        rows = database.execute("select status from runs where run_uuid = %s", [run_of_sft.info.run_id]).fetchall()
    assert rows == [("FINISHED",)]
    (model,) = client.search_logged_models([experiment])
    assert model.artifact_location.startswith("mlflow-artifacts:")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.mlflow)
    import mlflow

    mlflow.set_tracking_uri(team.mlflow)
    folder = mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=str(tmp_path))
    weights = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert weights.keys() == AutoModelForCausalLM.from_pretrained(shared / "data/sft").state_dict().keys()
    client.create_registered_model("policy")
    version = client.create_model_version("policy", f"models:/{model.model_id}", model_id=model.model_id)
    client.set_registered_model_alias("policy", "champion", version.version)
    assert client.get_model_version_by_alias("policy", "champion").version == version.version


def test_a_server_that_is_away_is_named_within_seconds(shared, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(shared, root, symlinks=True)
    away = f"http://127.0.0.1:{loopback.free_port()}"
    change(root, r"^( +uri: ).*", away)
    answer = subprocess.run(
        ["python", "-m", "stages.sft"], cwd=root, env=environment(root), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert f"tracking.uri {away}: no answer" in answer.stderr
    assert os.listdir(root / "data/sft")


def test_two_users_at_once_record_whole_pipelines_and_push_all(users, team):
    from mlflow import MlflowClient

    client = MlflowClient(team.mlflow)
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    for name, root in users.items():
        assert "in sync" in run(root, "dvc", "status", "--cloud")
        query = f"params.`ppo.kl_coef` = '{KL_COEFS[name]}' and tags.`dvc.command` like '%repro%'"
        (parent,) = client.search_runs([experiment], query)
        assert parent.info.status == "FINISHED"
        own = {name: value for name, value in parent.data.metrics.items() if not name[0].isdigit()}
        assert own == listed_metrics(root)
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
        assert {child.data.tags["dvc.stage"]: child.info.status for child in children} == {
            "ppo@r1": "FINISHED", "evaluate": "FINISHED"
        }  # fmt: skip


def test_a_third_clone_gets_a_commit_of_a_month_ago_whole(users, team, tmp_path):
    """Its checkpoint, its metrics, which are those of its run, and the link to that run; later runs change nothing."""
    from mlflow import MlflowClient
    from transformers import AutoModelForCausalLM

    first, third = users["ada"], tmp_path / "third"
    change_kl(first, LATER)
    run(first, "dvc", "repro", "--single-item", "ppo@r1")
    commit(first, "later")
    run(first, "dvc", "push")
    subprocess.run(["git", "clone", "--quiet", first, third], check=True)
    use_s3(third, team)
    run(third, "git", "checkout", "--quiet", "HEAD~1")
    assert A_MONTH_AGO[:10] in run(third, "git", "log", "-1", "--format=%aI")
    run(third, "dvc", "pull")
    assert "up to date" in run(third, "dvc", "repro", "--dry")
    assert AutoModelForCausalLM.from_pretrained(third / "data/ppo/r1").num_parameters() > 0
    assert lineage.dvc_md5(third / "data/ppo/r1") != lineage.dvc_md5(first / "data/ppo/r1")
    where = run(third, "python", "-m", "tools.where", "data/ppo/r1")
    link = re.escape(team.mlflow) + r"/#/experiments/\d+/runs/(\w+)\?workflowType=machine_learning"
    (made,) = re.findall(rf"^run .*{link}$", where, re.MULTILINE)
    recorded = MlflowClient(team.mlflow).get_run(made).data
    assert recorded.params["ppo.kl_coef"] == str(KL_COEFS["ada"])
    results = flat_numbers(json.loads((third / "metrics/ppo/r1.json").read_text()))
    assert {name: recorded.metrics.get(name) for name in results} == pytest.approx(results, abs=1e-6)  # files: 6 digits


def wait_until(met: Callable[[], bool], log: Path, process: subprocess.Popen) -> None:
    """Wait for a condition; fails the test with the process's log if it ends before, or after two minutes."""
    deadline = time.monotonic() + 120
    while not met():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def runs_of_sft(server: str) -> "list[Run]":  # noqa: F821
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("rlhf")
    return client.search_runs([experiment.experiment_id], "tags.`dvc.stage` = 'sft'") if experiment else []


def test_a_restart_of_database_and_server_amid_a_stage_loses_no_point(shared, tmp_path):
    """PostgreSQL goes while the server stays; then both come back while the stage, which was warned, stands still."""
    from mlflow import MlflowClient

    root, log = tmp_path / "copy", tmp_path / "log"
    shutil.copytree(shared, root, symlinks=True)
    change(root, r"^(sft:\n(?: .*\n)*?  epochs: )\d+", 100)
    ports = loopback.free_port(), loopback.free_port()
    with services.temporary() as folder, ExitStack() as database:
        uri = database.enter_context(services.postgres(folder, ports[0]))
        with services.mlflow_server(folder, uri, ports[1]) as server:
            change(root, r"^( +uri: ).*", server)
            with open(log, "w") as output:
                command = ["python", "-m", "stages.sft"]
                stage = subprocess.Popen(command, cwd=root, env=environment(root), stdout=output, stderr=output)
            wait_until(lambda: any("loss" in run.data.metrics for run in runs_of_sft(server)), log, stage)
            database.close()
            wait_until(lambda: "MLflow did not take metrics" in log.read_text(), log, stage)
            stage.send_signal(signal.SIGSTOP)
            database.enter_context(services.postgres(folder, ports[0]))
        with services.mlflow_server(folder, uri, ports[1]):
            stage.send_signal(signal.SIGCONT)
            assert stage.wait(timeout=300) == 0, log.read_text()
            client, (recorded,) = MlflowClient(server), runs_of_sft(server)
            steps = [point.step for point in client.get_metric_history(recorded.info.run_id, "loss")]
            assert len(client.search_logged_models([recorded.info.experiment_id])) == 1
    lost = re.findall(r"MLflow did not take (\w+)", log.read_text())
    assert set(lost) == {"metrics"}
    last = (root / "metrics/plots/sft.csv").read_text().splitlines()[-1].split(",")[0]
    assert steps == list(range(1, int(last) + 1))
    assert recorded.info.status == "FINISHED"
    results = flat_numbers(json.loads((root / "metrics/sft.json").read_text()))
    assert {name: recorded.data.metrics.get(name) for name in results} == pytest.approx(results, abs=1e-6)
