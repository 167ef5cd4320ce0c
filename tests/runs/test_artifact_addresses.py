"""A folder with mlflow.db that is moved or copied keeps its artifacts, and writes new ones beside its own database."""

import shutil
from pathlib import Path

import pytest

from rlhf.runs import mlflow_store
from tests.runs.test_tracking import write_params

SETTINGS = {"enabled": True, "uri": None, "experiment": "rlhf", "max_model_mb": 1.0, "log_every": 1}


def opened(root: Path):
    return mlflow_store.open_store(mlflow_store.Tracking(**SETTINGS), root.resolve())


def log(root: Path, text: str) -> tuple[str, str]:
    """Record a run with an artifact, and a model with another; return their ids."""
    client, experiment = opened(root)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, text, "said.txt")
    model = client.create_logged_model(experiment, name="sft", source_run_id=run)
    client.log_model_artifact(model.model_id, str(root / "params.yaml"))
    return run, model.model_id


def said(root: Path, run: str) -> str:
    return Path(opened(root)[0].download_artifacts(run, "said.txt")).read_text()


@pytest.fixture
def root(tmp_path, empty_store, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a repository"
    folder.mkdir()
    write_params(folder)
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def test_a_moved_folder_shows_its_artifacts_and_says_so_once(root, tmp_path, capsys):
    run, model = log(root, "before")
    there = root.rename(tmp_path / "elsewhere")
    assert said(there, run) == "before"
    assert capsys.readouterr().err.count(f"comes from {root}: the artifacts of 2 runs and models") == 1
    client, experiment = opened(there)
    location = client.get_logged_model(model).artifact_location
    assert location == (there / f"mlartifacts/models/{model}/artifacts").as_uri()
    assert client.get_experiment(experiment).artifact_location == (there / "mlartifacts").as_uri()
    assert "comes from" not in capsys.readouterr().err
    assert not root.exists(), "nothing was written to where it was"


def test_an_experiment_that_is_new_where_a_folder_was_moved_to_leaves_no_artifact_of_the_others_behind(root, tmp_path):
    run, _ = log(root, "before")
    there = root.rename(tmp_path / "elsewhere")
    mlflow_store.open_store(mlflow_store.Tracking(**SETTINGS | {"experiment": "the next"}), there.resolve())
    client = mlflow_store.open_to_read(mlflow_store.Tracking(**SETTINGS), there.resolve())
    assert Path(client.download_artifacts(run, "said.txt")).read_text() == "before"


def test_a_copy_reads_and_writes_beside_its_own_database(root, tmp_path):
    run, _ = log(root, "before")
    copy = shutil.copytree(root, tmp_path / "copy")
    files = sorted((root / "mlartifacts").rglob("*"))
    new, _ = log(copy, "after")
    assert (said(copy, run), said(copy, new)) == ("before", "after")
    assert sorted((root / "mlartifacts").rglob("*")) == files, "the original's folder is the original's"
    shutil.rmtree(root)
    assert said(copy, run) == "before"


def test_artifacts_that_did_not_come_along_stay_where_they_are(root, tmp_path, capsys):
    run, _ = log(root, "before")
    copy = tmp_path / "copy"
    copy.mkdir()
    write_params(copy)
    shutil.copy(root / "mlflow.db", copy)
    new, _ = log(copy, "after")
    assert (said(copy, run), said(copy, new)) == ("before", "after")
    assert f"those of 2 are not here and stay at {root / 'mlartifacts'}" in capsys.readouterr().err
    assert list((copy / "mlartifacts").rglob("said.txt"))


def test_a_folder_that_was_chosen_for_artifacts_stays_chosen(root, tmp_path):
    chosen = tmp_path / "a large disk/mlartifacts"
    chosen.mkdir(parents=True)
    client, experiment = opened(root)
    client.delete_experiment(experiment)
    other = mlflow_store.Tracking(**SETTINGS | {"experiment": "other"})
    client.create_experiment("other", artifact_location=chosen.as_uri())
    _, experiment = mlflow_store.open_store(other, root)
    assert client.get_experiment(experiment).artifact_location == chosen.as_uri()
