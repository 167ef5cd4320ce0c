"""MLflow's store: where it is, what opening it says and sets, and the two runs of a stage in it."""

import json
import logging
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_store, sessions
from rlhf.runs.lineage import Commit
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import reaping
from rlhf.runs.recording.pipeline_runs import PipelineRun
from tests import loopback

NO_COMMIT = Commit("", [])

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory, empty_store):
    """A folder with a database that has its tables."""
    folder = tmp_path_factory.mktemp("store") / "a home"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def client(home):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


@pytest.fixture
def experiment(client, request) -> str:
    """The id of an experiment that is the test's own."""
    return client.create_experiment(request.node.name)


def settings(uri: str | None = None, experiment: str = "rlhf") -> Tracking:
    return Tracking(enabled=True, uri=uri, experiment=experiment, max_model_mb=1.0, log_every=1)


@contextmanager
def server():
    """Yield the address of a server that answers everything, and the paths that it is asked for."""
    asked = []
    with loopback.serving(lambda path: asked.append(path) or loopback.Answer(200)) as port:
        yield f"http://127.0.0.1:{port}", asked


def test_the_database_lies_in_dvcs_main_repository(tmp_path, monkeypatch):
    (tmp_path / "main").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "main")
    assert mlflow_store.anchor(tmp_path / "link") == (tmp_path / "main").resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "link"))
    assert mlflow_store.anchor(tmp_path / "a copy of `dvc exp run`") == (tmp_path / "main").resolve()


@pytest.mark.parametrize(
    ("uri", "environment", "found"),
    [
        (None, None, "sqlite:////home/x/mlflow.db"),
        (None, "", "sqlite:////home/x/mlflow.db"),
        (None, "http://b:1", "http://b:1"),
        (None, "sqlite:///b.db", "sqlite:////home/x/b.db"),
        ("sqlite:///sub/a.db", "http://b:1", "sqlite:////home/x/sub/a.db"),
        ("sqlite:////elsewhere/a.db", None, "sqlite:////elsewhere/a.db"),
        ("postgresql://u@h/db", None, "postgresql://u@h/db"),
    ],
)
def test_where_the_store_is(uri, environment, found, monkeypatch):
    if environment is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    assert mlflow_store.resolve_uri(uri, Path("/home/x")) == found


def test_an_experiment_is_made_once_with_its_artifacts_beside_the_database(home, client):
    opened, experiment = mlflow_store.open_store(settings(experiment="made once"), home)
    found = client.get_experiment_by_name("made once")
    assert (found.experiment_id, found.artifact_location) == (experiment, (home / "mlartifacts").as_uri())
    assert opened.get_experiment(experiment).name == "made once"
    assert mlflow_store.open_store(settings(experiment="made once"), home)[1] == experiment


def test_an_experiment_that_another_process_makes_in_between_is_used(home, client, monkeypatch):
    from mlflow import MlflowClient

    experiment = client.create_experiment("made in between")
    by_name, asked = MlflowClient.get_experiment_by_name, []

    def not_yet_there(self, name):
        asked.append(name)
        return None if len(asked) == 1 else by_name(self, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", not_yet_there)
    assert mlflow_store.open_store(settings(experiment="made in between"), home)[1] == experiment


def test_opening_quietens_mlflow_and_leaves_what_was_chosen(home, monkeypatch):
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.git_utils")]
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    mlflow_store.open_store(settings(), home)
    found = {name: os.environ.get(name) for name in QUIET}
    for name in QUIET:
        monkeypatch.delenv(name)
    assert found == QUIET | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}
    assert [logger.level for logger in loggers] == [logging.ERROR] * 3


class Client:
    """Stands in for MlflowClient of a server, whose first experiment is the one that is asked for."""

    made: list = []

    def __init__(self, tracking_uri):
        self.uri = tracking_uri

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name, artifact_location):
        Client.made.append((self.uri, name, artifact_location))
        return "7"


def test_a_server_is_asked_for_its_health_and_chooses_its_own_place_for_artifacts(home, monkeypatch):
    import mlflow

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    monkeypatch.setattr(Client, "made", [])
    with server() as (uri, asked):
        _, experiment = mlflow_store.open_store(settings(f"{uri}/X/"), home)
    assert (experiment, Client.made) == ("7", [(f"{uri}/X/", "rlhf", None)])
    assert asked == ["/X/health"]
    assert not list(home.glob("*127.0.0.1*")), "no lock of a database"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_is_not_there_is_named_without_its_password(scheme, tmp_path):
    port = loopback.free_port()
    with pytest.raises(ConnectionError) as error:
        mlflow_store.preflight(settings(f"{scheme}://u:secret@127.0.0.1:{port}"), tmp_path)
    assert str(error.value) == (
        f"tracking.uri {scheme}://***@127.0.0.1:{port}: no answer within 2 s (ConnectionError); "
        "start that MLflow server, correct the URI in params.yaml or $MLFLOW_TRACKING_URI, "
        "or set tracking.enabled to false"
    )


def test_a_databases_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConnectionError) as error:
        mlflow_store.preflight(settings("sqlite:///absent/a.db"), tmp_path)
    assert str(error.value) == (
        f"tracking.uri sqlite:///{tmp_path}/absent/a.db: there is no folder {tmp_path}/absent; create it or correct "
        "the URI"
    )
    mlflow_store.preflight(settings("sqlite:///a.db"), tmp_path)
    mlflow_store.preflight(settings("postgresql://u@127.0.0.1:1/db"), tmp_path)


@pytest.mark.parametrize("value", ["plain", "it's", 'say "so"', "a`b`c", "a\\b", "100% 'a' = b and c", "中文"])
def test_a_filter_finds_what_has_a_value_and_nothing_else(client, experiment, value):
    run = client.create_run(experiment, tags={mlflow_store.allowed(f"key {value}"): value}).info.run_id
    client.create_run(experiment, tags={mlflow_store.allowed(f"key {value}"): f"{value}x"})
    found = client.search_runs([experiment], mlflow_store.equals(f"tags.key {value}", value))
    assert [one.info.run_id for one in found] == [run]


def test_a_value_that_mlflow_cannot_be_asked_for_is_named():
    with pytest.raises(ValueError, match="both kinds of quotes"):
        mlflow_store.equals("tags.a", "both ' and \"")


@pytest.mark.parametrize("name", ["it's", 'say "so"', "both ' and \"", "a`b`c"])
def test_an_experiment_of_dvc_may_have_quotes_in_its_name(client, experiment, monkeypatch, tmp_path, name):
    def parent():
        return PipelineRun(
            Store(client, experiment), tmp_path, {}, NO_COMMIT, {}, ("host 7 2.00", "host 7 2.00")
        ).run_id

    monkeypatch.setenv("DVC_EXP_NAME", name)
    own = parent()
    assert parent() == own
    assert client.get_run(own).info.run_name == name


@pytest.mark.parametrize("name", ["it's", 'say "so"', "a`b"])
def test_an_experiment_of_mlflow_may_have_quotes_in_its_name(tmp_path, empty_store, name):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    chosen = settings("sqlite:///mlflow.db").model_copy(update={"experiment": name})
    opened = mlflow_store.open_store(chosen, tmp_path)
    assert mlflow_store.open_store(chosen, tmp_path).experiment_id == opened.experiment_id
    assert opened.client.get_experiment(opened.experiment_id).name == name


def test_links_lead_to_a_run_or_to_the_table_of_runs_in_the_mode_that_shows_them():
    mode = "workflowType=machine_learning"
    assert mlflow_store.link("http://u:p@h:5/X/", "3", "abc") == f"http://***@h:5/X/#/experiments/3/runs/abc?{mode}"
    assert mlflow_store.link("https://h", "3", None) == f"https://h/#/experiments/3/runs?{mode}"
    shared = f"https://h/#/experiments/3/runs?{mode}&viewStateShareKey=mine"
    assert mlflow_store.link("https://h", "3", None, "mine") == shared
    assert (
        mlflow_store.link("sqlite:////x/mlflow.db", "1", "r") == f"http://localhost:5000/#/experiments/1/runs/r?{mode}"
    )


def test_the_table_of_runs_has_the_newest_columns_first_and_keeps_those_of_other_runs(client):
    made = Store(client, client.create_experiment("a table"))
    assert "viewStateShareKey" not in mlflow_store.table_link("https://h", made)
    mlflow_store.offer_view(made, ["changed"], ["gold", "won"])
    mlflow_store.offer_view(made, ["changed"], ["judged", "won"])
    assert mlflow_store.table_link("https://h", made).endswith("&viewStateShareKey=pipelines")
    kept = json.loads(client.get_experiment(made.experiment_id).tags["mlflow.sharedViewState.pipelines"])
    columns = ["attributes.`Created`", "tags.`changed`", "metrics.`judged`", "metrics.`won`", "metrics.`gold`"]
    assert kept["selectedColumns"] == columns
    assert kept["columnOrder"] == ["attributes.`Run Name`", *columns]
    assert kept["columnWidths"].keys() == {*kept["columnOrder"]}
    assert (kept["orderByKey"], kept["orderByAsc"]) == ("attributes.start_time", False)


@pytest.mark.parametrize("length", [100, 8000, 8001, 20_000])
def test_a_page_that_is_too_long_is_cut_between_lines_and_says_so(length):
    text = mlflow_store.fitting(["head", "", ("x" * 49 + "\n") * 1000])
    short = mlflow_store.fitting(["a" * length])
    assert text.startswith("head\n\nx") and text.endswith("x\n\n(cut here: MLflow has room for no more)")
    assert len(text) <= 8000 and len(short) <= 8000
    assert (short == "a" * length) == (length <= 8000)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("---\nlicense: mit\ntags:\n- rlhf\n---\n\n# A policy\n\n---\nbelow\n", "# A policy\n\n---\nbelow\n"),
        ("# A policy\n\n---\nbelow\n---\n", "# A policy\n\n---\nbelow\n---\n"),
        ("---\nnever closed", "---\nnever closed"),
        ("", ""),
    ],
)
def test_a_page_is_without_the_front_matter_of_its_file(text, shown):
    assert mlflow_store.without_front_matter(text) == shown


def test_runs_that_made_bytes_are_found_newest_first(client, experiment):
    def run(moment: int, path: str, md5: str) -> str:
        return client.create_run(experiment, start_time=moment, tags={f"dvc.out.{path}": md5}).info.run_id

    older, newer, _, _ = (
        run(1, "data/sft", "1.dir"),
        run(3, "data/sft", "1.dir"),
        run(2, "a", "1.dir"),
        run(2, "b", "2"),
    )
    found = mlflow_store.runs_that_made(client, experiment, "data/sft", "1.dir")
    assert [one.info.run_id for one in found] == [newer, older]
    renamed = client.create_experiment("renamed")
    found = mlflow_store.runs_that_made(client, renamed, "data/sft", "1.dir")
    assert [one.info.run_id for one in found] == [newer, older]
    own = client.create_run(renamed, tags={mlflow_store.allowed("dvc.out.data/sft"): "1.dir"}).info.run_id
    found = mlflow_store.runs_that_made(client, renamed, "data/sft", "1.dir")
    assert [one.info.run_id for one in found] == [own]


def test_a_session_has_one_parent_that_its_later_stages_find_running(client, experiment, tmp_path):
    tags = {"machine": "m"}

    def parent(params, session):
        return PipelineRun(Store(client, experiment), tmp_path, params, NO_COMMIT, tags, (session, session)).run_id

    first = parent({"seed": 1, "sft": {"rate": 0.5}}, "host 1 2.00")
    found = client.get_run(first)
    own = {"machine": "m", "dvc.session": "host 1 2.00", "dvc.process": "host 1 2.00"}
    assert own.items() <= found.data.tags.items()
    assert found.data.params == {"seed": "1", "sft.rate": "0.5"}
    assert found.info.status == "RUNNING"
    assert found.info.run_name == "params.yaml"
    client.set_terminated(first, "FINISHED")
    assert parent({"seed": 1, "sft": {"rate": 0.5}}, "host 1 2.00") == first
    assert client.get_run(first).info.status == "RUNNING"
    assert parent({}, "host 2 2.00") != first
    assert tags == {"machine": "m"}


def test_an_experiment_of_dvc_names_the_parent_and_is_a_session_of_its_own(client, experiment, monkeypatch, tmp_path):
    def parent():
        by_hand = ("host 1 2.00",) * 2
        return PipelineRun(Store(client, experiment), tmp_path, {}, Commit("0123456789", []), {}, by_hand).run_id

    plain = parent()
    monkeypatch.setenv("DVC_EXP_NAME", "bold-idea")
    own = parent()
    assert own != plain
    found = client.get_run(own)
    assert found.info.run_name == "bold-idea @0123456"
    assert (found.data.tags["dvc.session"], found.data.tags["dvc.process"]) == ("host 1 2.00 bold-idea", "host 1 2.00")
    assert parent() == own


def test_running_runs_of_processes_that_are_gone_become_killed(client, experiment, monkeypatch, tmp_path):
    monkeypatch.setattr(sessions, "is_gone", lambda process: process == "gone")

    def run(moment: int, status: str = "RUNNING", **tags: str) -> str:
        run_id = client.create_run(experiment, start_time=moment, tags=tags).info.run_id
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    older, alive, ended = run(1, **{"dvc.process": "gone"}), run(2, **{"dvc.process": "alive"}), run(3, "FAILED")
    other, newer, by_hand = run(4, "FINISHED", **{"dvc.process": "gone"}), run(5, **{"dvc.process": "gone"}), run(6)
    reaping.reap(Store(client, experiment), tmp_path)
    found = [client.get_run(run_id).info.status for run_id in (older, alive, ended, other, newer, by_hand)]
    assert found == ["KILLED", "RUNNING", "FAILED", "FINISHED", "KILLED", "RUNNING"]


def test_more_params_than_mlflow_takes_at_once_are_all_there(client, experiment):
    run_id = client.create_run(experiment).info.run_id
    params = {f"p{number}": number for number in range(201)} | {"long": "é" * 7000}
    mlflow_store.log_params(client, run_id, params)
    assert client.get_run(run_id).data.params == {name: str(value)[:6000] for name, value in params.items()}


def test_points_keep_value_moment_and_step(client, experiment):
    run_id = client.create_run(experiment).info.run_id
    mlflow_store.log_points(client, run_id, [("loss", 0.5, 1234, 7), ("loss", 0.25, 1235, 8), ("kl", -1.0, 3, 0)])
    history = [(point.value, point.timestamp, point.step) for point in client.get_metric_history(run_id, "loss")]
    assert history == [(0.5, 1234, 7), (0.25, 1235, 8)]
    (point,) = client.get_metric_history(run_id, "kl")
    assert (point.value, point.timestamp, point.step) == (-1.0, 3, 0)


def test_points_are_sent_a_thousand_at_once(client, experiment, monkeypatch):
    sent = []
    monkeypatch.setattr(type(client), "log_batch", lambda self, run_id, metrics: sent.append((run_id, metrics)))
    mlflow_store.log_points(client, "a run", [("loss", 0.0, 0, step) for step in range(2001)])
    assert [len(metrics) for _, metrics in sent] == [1000, 1000, 1]
    assert [point.step for _, metrics in sent for point in metrics] == list(range(2001))
    assert {run_id for run_id, _ in sent} == {"a run"}
    mlflow_store.log_points(client, "a run", [])
    assert len(sent) == 3
