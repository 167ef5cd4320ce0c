"""Runs on a shared MLflow server, data in shared remotes: another clone gets working checkpoints and their lineage."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration import services
from tests.integration.conftest import environment, run


@pytest.fixture(scope="module")
def team() -> Iterator[services.Services]:
    with services.running() as found:
        yield found


@pytest.fixture(scope="module")
def shared(pipeline, team, tmp_path_factory):
    """A copy of the finished pipeline whose sft ran again on the shared server, committed."""
    root = tmp_path_factory.mktemp("team") / "first"
    shutil.copytree(pipeline.root, root, symlinks=True)
    params = root / "params.yaml"
    params.write_text(re.sub(r"^( +uri: ).*", rf"\g<1>{team.mlflow}", params.read_text(), flags=re.MULTILINE))
    told = run(root, "dvc", "repro", "--force", "--single-item", "--no-run-cache", "sft")
    assert f"{team.mlflow}/#/experiments/" in told
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "on the shared server")
    return root


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
    params = root / "params.yaml"
    away = f"http://127.0.0.1:{services.free_port()}"
    params.write_text(re.sub(r"^( +uri: ).*", rf"\g<1>{away}", params.read_text(), flags=re.MULTILINE))
    answer = subprocess.run(
        ["python", "-m", "stages.sft"], cwd=root, env=environment(root), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert f"tracking.uri {away}: no answer" in answer.stderr
    assert os.listdir(root / "data/sft")
