"""The runs that made bytes: of all experiments, the own one first, deleted ones apart."""

import shutil

import pytest

from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_store
from tools.looking.makers import Makers


@pytest.fixture
def home(tmp_path, empty_store, monkeypatch):
    """A folder with a database, at a path whose characters mean something in an address."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "a home #1"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def client(home):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def settings(experiment: str = "mine") -> Tracking:
    return Tracking(enabled=True, uri=None, experiment=experiment, max_model_mb=1.0, log_every=1)


def run(client, experiment: str, moment: int, md5: str = "1.dir", status: str = "FINISHED") -> str:
    tags = {mlflow_store.allowed("dvc.out.data/sft"): md5}
    run_id = client.create_run(experiment, start_time=moment, tags=tags).info.run_id
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def found(home) -> tuple[list[str], list[str]]:
    made = Makers(settings(), home).made("data/sft", "1.dir")
    return [one.info.run_id for one in made.runs], [one.info.run_id for one in made.deleted]


def test_the_own_experiments_runs_come_first_then_by_time(client, home):
    mine, other = client.create_experiment("mine"), client.create_experiment("other")
    early, late = run(client, other, 1), run(client, other, 5)
    second, first = run(client, mine, 4), run(client, mine, 3)
    run(client, mine, 2, md5="2.dir"), run(client, mine, 2, status="FAILED"), run(client, mine, 2, status="RUNNING")
    assert found(home) == ([first, second, early, late], [])


def test_deleted_runs_and_those_of_deleted_experiments_stand_apart(client, home):
    mine, other = client.create_experiment("mine"), client.create_experiment("other")
    kept, gone, with_it = run(client, mine, 1), run(client, mine, 2), run(client, other, 3)
    client.delete_run(gone)
    client.delete_experiment(other)
    assert found(home) == ([kept], [gone, with_it])
    client.delete_experiment(mine)
    client.restore_run(kept)
    assert found(home) == ([], [kept, gone, with_it]), "the UI does not show it without its experiment"


def test_an_experiment_that_was_deleted_is_not_called_absent(client, home):
    where = f"sqlite:///{home / 'mlflow.db'}"
    assert Makers(settings(), home).table() == f"there is no experiment 'mine' in {where}"
    mine = client.create_experiment("mine")
    assert f"/experiments/{mine}/" in Makers(settings(), home).table()
    client.delete_experiment(mine)
    assert Makers(settings(), home).table() == f"experiment 'mine' was deleted in {where}"


def test_more_runs_and_experiments_than_one_answer_holds_are_all_found(client, home, monkeypatch):
    from mlflow import MlflowClient

    runs = [run(client, client.create_experiment(f"number {number}"), 1 + number) for number in range(3)]
    for name in ("search_runs", "search_experiments"):
        whole = getattr(MlflowClient, name)
        monkeypatch.setattr(
            MlflowClient, name, lambda *given, whole=whole, **named: whole(*given, **named, max_results=1)
        )
    assert found(home) == (runs, [])


def test_a_name_that_mlflow_does_not_take_is_looked_for_as_it_is_kept(client, home):
    path = "data/ppo/what?"
    tags = {mlflow_store.allowed(f"dvc.out.{path}"): "1.dir"}
    run_id = client.create_run(client.create_experiment("mine"), tags=tags).info.run_id
    client.set_terminated(run_id)
    assert [one.info.run_id for one in Makers(settings(), home).made(path, "1.dir").runs] == [run_id]


def test_a_pipelines_run_is_found_until_it_is_deleted(client, home):
    mine = client.create_experiment("mine")
    parent = client.create_run(mine).info.run_id
    run_id = run(client, mine, 1)
    makers = Makers(settings(), home)
    assert makers.pipeline(client.get_run(run_id)) is None
    client.set_tag(run_id, "mlflow.parentRunId", parent)
    assert makers.pipeline(client.get_run(run_id)).info.run_id == parent
    client.delete_run(parent)
    assert makers.pipeline(client.get_run(run_id)) is None
    client.set_tag(run_id, "mlflow.parentRunId", "0" * 32)
    assert makers.pipeline(client.get_run(run_id)) is None


def test_a_client_that_reads_cannot_write(client, home):
    from mlflow.exceptions import MlflowException

    reader = mlflow_store.open_to_read(settings(), home)
    with pytest.raises(MlflowException, match="readonly database"):
        reader.create_experiment("mine")
    assert [one.name for one in client.search_experiments()] == ["Default"]
    assert [path.name for path in home.iterdir()] == ["mlflow.db"]
    assert [path.name for path in home.parent.iterdir()] == [home.name]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), (b"", "an empty database"), (b"x" * 5000, "file is not a database")]
)
def test_where_there_is_nothing_to_read_it_says_why_and_makes_nothing(home, content, why):
    (home / "mlflow.db").unlink()
    if content is not None:
        (home / "mlflow.db").write_bytes(content)
    makers = Makers(settings(), home)
    assert why in makers.closed and str(home) in makers.closed
    assert makers.made("data/sft", "1.dir") == ([], [])
    assert [path.read_bytes() for path in home.iterdir()] == ([] if content is None else [content])


def test_a_folder_that_is_not_there_is_no_store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "no such file" in Makers(settings(), tmp_path / "absent").closed
    assert not (tmp_path / "absent").exists()
