"""Addresses in a database with MLflow's columns alone: which move with the folder, and which stay."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from rlhf.runs import artifact_addresses

TABLES = """
CREATE TABLE experiments (name TEXT, artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT);
CREATE TABLE logged_models (model_id TEXT, artifact_location TEXT);
"""


@pytest.fixture
def before(tmp_path):
    """The folder in which the database was made, with a blank in its name."""
    folder = tmp_path / "it was here"
    folder.mkdir()
    return folder


def write(folder, experiments: dict, runs: dict | None = None, models: dict | None = None):
    """Make a database in a folder; return its path."""
    database = folder / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(TABLES)
        for table, rows in (("experiments", experiments), ("runs", runs or {}), ("logged_models", models or {})):
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", list(rows.items()))
    return database


def read(database) -> list[dict]:
    with closing(sqlite3.connect(database)) as connection:
        tables = ("experiments", "runs", "logged_models")
        return [dict(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]


def test_what_lay_below_the_folder_before_is_looked_for_here(before, tmp_path):
    old, elsewhere = before / "mlartifacts", "s3://bucket/mlartifacts/1"
    experiments = {"rlhf": old.as_uri(), "plain": str(old), "remote": elsewhere, "other": "file:///x/mlartifacts"}
    runs = {"c": elsewhere, "d": f"{before}2/mlartifacts/d", "a": f"{old.as_uri()}/1/a/artifacts", "b": f"{old}/1/b"}
    write(before, experiments, runs, {"m": f"{old.as_uri()}/models/m"})
    here = before.rename(tmp_path / "it is there")
    new = here / "mlartifacts"
    said = artifact_addresses.set_right(here / "mlflow.db", "rlhf")
    assert (
        said == f"{here / 'mlflow.db'} comes from {before}: the artifacts of 3 runs and models are now looked for here"
    )
    assert read(here / "mlflow.db") == [
        {"rlhf": new.as_uri(), "plain": str(new), "remote": elsewhere, "other": "file:///x/mlartifacts"},
        runs | {"a": f"{new.as_uri()}/1/a/artifacts", "b": f"{new}/1/b"},
        {"m": f"{new.as_uri()}/models/m"},
    ]
    assert artifact_addresses.set_right(here / "mlflow.db", "rlhf") is None


def test_what_is_there_and_not_here_stays_and_is_counted(before, tmp_path):
    old = before / "mlartifacts"
    runs = {name: f"{old.as_uri()}/{name}" for name in ("there", "both", "neither")}
    for name in ("there", "both", "model"):
        (old / name).mkdir(parents=True)
    write(before, {"rlhf": old.as_uri()}, runs, {"m": f"{old.as_uri()}/model"})
    here = tmp_path / "a copy"
    (here / "mlartifacts/both").mkdir(parents=True)
    shutil.copy(before / "mlflow.db", here)
    database, new = here / "mlflow.db", here / "mlartifacts"
    assert artifact_addresses.set_right(database, "rlhf") == (
        f"{database} comes from {before}: the artifacts of 2 runs and models are now looked for here; "
        f"those of 2 are not here and stay at {old}"
    )
    moved = {name: f"{new.as_uri()}/{name}" for name in ("both", "neither")}
    assert read(database) == [{"rlhf": new.as_uri()}, runs | moved, {"m": f"{old.as_uri()}/model"}]


@pytest.mark.parametrize("location", ["s3://b/mlartifacts", "mlflow-artifacts:/1", "file:///x/other", "", None])
def test_other_places_for_artifacts_are_left_alone(before, location):
    database = write(before, {"rlhf": location}, {"a": "file:///x/mlartifacts/a"})
    assert artifact_addresses.set_right(database, "rlhf") is None
    assert artifact_addresses.set_right(database, "unknown") is None
    assert read(database)[1] == {"a": "file:///x/mlartifacts/a"}


def test_a_chosen_folder_stays_until_there_is_one_here(before, tmp_path):
    chosen = tmp_path / "a disk/mlartifacts"
    chosen.mkdir(parents=True)
    database = write(before, {"rlhf": chosen.as_uri()})
    assert artifact_addresses.set_right(database, "rlhf") is None
    (before / "mlartifacts").mkdir()
    assert artifact_addresses.set_right(database, "rlhf").startswith(f"{database} comes from {chosen.parent}: ")
    assert read(database)[0] == {"rlhf": (before / "mlartifacts").as_uri()}


def test_beside_a_database_a_folder_was_not_chosen(before, tmp_path):
    (tmp_path / "original/mlartifacts").mkdir(parents=True)
    (tmp_path / "original/mlflow.db").touch()
    database = write(before, {"rlhf": (tmp_path / "original/mlartifacts").as_uri()})
    assert "the artifacts of 0 runs" in artifact_addresses.set_right(database, "rlhf")
