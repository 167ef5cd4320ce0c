"""The MLflow store that `tracking.uri` names: opening it, and what it takes of names, params and points."""

import hashlib
import json
import logging
import os
import posixpath
import re
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from rlhf.params.tracking import Tracking, unreadable
from rlhf.runs import artifact_addresses
from rlhf.secrets import guard
from rlhf.secrets.masking import learn_address, masked, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PROCESS = "dvc.process"  # tag of a run: the process whose end is its own
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 8000  # characters
PREFLIGHT_SECONDS = 2.0
UI = "http://localhost:5000"  # where `make ui` serves a local database
TRAINING = "workflowType=machine_learning"  # the UI's mode that shows runs; its other one, for agents, hides them
PAGE = "mlflow.note.content"  # tag of a run, model or experiment: the text on its page
VIEW = "pipelines"  # the name of the table of runs with the columns that matter
RUN_NAME = "attributes.`Run Name`"  # the table's first column
VIEWS = "mlflow.sharedViewState."  # and its name: tag of an experiment that keeps such a table's columns and order


class Store(NamedTuple):
    """An open store, and the id of the experiment in it that a repository records in."""

    client: "MlflowClient"
    experiment_id: str


def anchor(root: Path) -> Path:
    """Return the repository that holds mlflow.db: DVC's main one, also inside the temporary copies of `dvc exp run`."""
    return Path(os.environ.get("DVC_ROOT", root)).resolve()


def resolve_uri(uri: str | None, home: Path) -> str:
    """Return `uri` (null: $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db) with a relative sqlite path made absolute."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    learn_address(uri)
    return f"sqlite:///{home / uri.removeprefix('sqlite:///')}" if uri.startswith("sqlite:///") else uri


def open_store(settings: Tracking, home: Path) -> Store:
    """Return a client and the experiment, both made on first use.

    Raises ConnectionError, see preflight.
    """
    preflight(settings, home)
    uri = resolve_uri(settings.uri, home)
    _quieten()
    if uri.startswith("sqlite:///"):
        from filelock import FileLock  # two stages that create the same database at once break its migrations

        with FileLock(uri.removeprefix("sqlite:///") + ".init.lock"):
            return _connect(uri, settings.experiment, home)
    return _connect(uri, settings.experiment, home)


def open_to_read(settings: Tracking, home: Path) -> "MlflowClient":
    """Return a client that only looks: no database, experiment or artifact's address is made or changed.

    A sqlite file is opened read-only, for MLflow makes the tables and the experiment "Default" that it misses in any
    database that it opens. Other databases (postgresql://, mysql://) cannot be opened so: an empty one gets its tables.

    Raises ConnectionError where there is nothing to read: no file, one without runs, a server that does not answer.
    """
    uri = resolve_uri(settings.uri, home)
    _check_answer(uri)
    _quieten()
    from mlflow import MlflowClient

    if not uri.startswith("sqlite:///"):
        return MlflowClient(tracking_uri=uri)
    database = Path(uri.removeprefix("sqlite:///"))
    if not database.exists():
        raise ConnectionError(
            f"{uri} has no run yet: there is no such file; stages make it when they record their runs"
        )
    file = f"file:{quote(str(database))}"
    try:
        with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=30)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        raise ConnectionError(f"tracking.uri {uri}: {error}") from None
    if ("experiments",) not in tables:
        raise ConnectionError(f"{uri} has no run yet: it is an empty database")
    from sqlalchemy.engine import URL

    read_only = URL.create("sqlite+pysqlite", database=file, query={"mode": "ro", "uri": "true"})
    return MlflowClient(tracking_uri=read_only.render_as_string())  # for "sqlite:" MLflow would make a folder "file:"


def _quieten() -> None:
    """Switch MLflow's telemetry, progress bars, own links and database chatter off; let a dead server cost seconds.

    Its links hold the store's password, so they stay off whatever the environment says.
    """
    guard.install()
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    patient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    for name, value in (quiet | patient).items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.git_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _connect(uri: str, experiment: str, home: Path) -> Store:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is not None and found.lifecycle_stage == "deleted":
        raise _deleted(uri, experiment, found.experiment_id)
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and database.parent == home:
        moved = artifact_addresses.set_right(database, experiment)
        if moved:
            guard.say(f"MLflow: {moved}")
    if found is not None:
        return Store(client, found.experiment_id)
    local = uri.startswith("sqlite:")  # a server chooses its own place for artifacts
    location = (home / artifact_addresses.FOLDER).as_uri() if local else None
    try:
        return Store(client, client.create_experiment(experiment, artifact_location=location))
    except MlflowException:  # another process may have made it in between
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise
        return Store(client, found.experiment_id)


def preflight(settings: Tracking, home: Path) -> None:
    """Look whether the store can be there, without MLflow.

    Raises ConnectionError naming the URI if an http(s) server does not answer within two seconds, if the folder of a
    database does not exist, or if the experiment was deleted in it.
    """
    uri = resolve_uri(settings.uri, home)
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///"))
        if not database.parent.is_dir():
            raise ConnectionError(
                f"tracking.uri {uri}: there is no folder {database.parent}; create it or correct the URI"
            )
        if database.exists() and (deleted := artifact_addresses.deleted(database, settings.experiment)):
            raise _deleted(uri, settings.experiment, deleted)
    _check_answer(uri)


def _check_answer(uri: str) -> None:
    """Raise ConnectionError naming the URI if an http(s) server does not answer in time; of others nothing is asked.

    Neither is one whose credentials cannot be told from the rest of it.
    """
    if problem := unreadable(uri):
        raise ConnectionError(f"tracking.uri {masked(uri)}: {problem}")
    if not uri.startswith(("http://", "https://")):
        return
    import requests

    try:
        requests.get(uri.rstrip("/") + "/health", timeout=PREFLIGHT_SECONDS)
    except requests.RequestException as error:
        raise ConnectionError(
            f"tracking.uri {masked(uri)}: no answer within {PREFLIGHT_SECONDS:g} s ({type(error).__name__}); "
            "start that MLflow server, correct the URI in params.yaml or $MLFLOW_TRACKING_URI, "
            "or set tracking.enabled to false"
        ) from None


class DeletedExperiment(ConnectionError):
    """The experiment of params.yaml was deleted in the MLflow UI; the message says how it comes back."""


def _deleted(uri: str, experiment: str, experiment_id: str) -> DeletedExperiment:
    return DeletedExperiment(
        f"tracking.experiment: '{experiment}' was deleted in {masked(uri)}; bring it back with: mlflow experiments "
        f"restore --experiment-id {experiment_id} (MLFLOW_TRACKING_URI={shlex.quote(masked(uri))}), or name another in "
        "params.yaml"
    )


def link(uri: str, experiment_id: str, run_id: str | None, view: str | None = None) -> str:
    """Return the address in the MLflow UI of a run; of the experiment's table of runs if `run_id` is None, with the
    columns of a `view` that it has.
    """
    base = uri.rstrip("/") if uri.startswith("http") else UI
    tail = f"runs?{TRAINING}" if run_id is None else f"runs/{run_id}?{TRAINING}"
    return f"{masked(base)}/#/experiments/{experiment_id}/{tail}" + (f"&viewStateShareKey={view}" if view else "")


def link_within(experiment_id: str, run_id: str) -> str:
    """Return a run's address as a link on a page of the same UI, wherever that is served."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{TRAINING}"


def table_link(uri: str, store: Store) -> str:
    """Return the address of the experiment's table of runs, with the columns that matter where they are known."""
    tags = store.client.get_experiment(store.experiment_id).tags
    return link(uri, store.experiment_id, None, VIEW if f"{VIEWS}{VIEW}" in tags else None)


def offer_view(store: Store, tags: Sequence[str], metrics: Sequence[str]) -> None:
    """Keep the columns of the table of runs: these tags and metrics, and metrics of before, which other runs have."""
    key = f"{VIEWS}{VIEW}"
    before = store.client.get_experiment(store.experiment_id).tags.get(key)
    earlier = json.loads(before)["selectedColumns"] if before else []
    columns = [*(f"tags.`{name}`" for name in tags), *(f"metrics.`{name}`" for name in metrics)]
    columns = ["attributes.`Created`", *columns]
    columns += [name for name in earlier if name not in columns]
    order = [RUN_NAME, *columns]
    state = {
        "selectedColumns": columns,
        "columnOrder": order,
        "columnWidths": {
            name: 300 if name.startswith(("tags.", RUN_NAME)) else 7 * len(name) for name in order
        },  # pixels
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }
    content = json.dumps(state)
    if content != before:
        store.client.set_experiment_tag(store.experiment_id, key, content)


def write_page(client: "MlflowClient", run_id: str, parts: Sequence[str]) -> None:
    """Show texts below one another on a run's page, those that MLflow's longest tag has room for."""
    text = fitting([masked(part) for part in parts])
    if text:
        client.set_tag(run_id, PAGE, text)


def put_first(client: "MlflowClient", run: "Run", *lines: str) -> None:
    """Show lines above what a run's page has had, once: done again, it changes nothing."""
    had = run.data.tags.get(PAGE, "")
    if not had.startswith(masked("\n\n".join(lines))):
        write_page(client, run.info.run_id, [*lines, had])


def fitting(parts: Sequence[str]) -> str:
    """Return texts below one another that fit in a tag; one that does not is cut, and says so."""
    text, cut = "\n\n".join(filter(None, parts)), "\n\n(cut here: MLflow has room for no more)"
    return text if len(text) <= LONGEST_TAG else text[: LONGEST_TAG - len(cut)].rpartition("\n")[0] + cut


def without_front_matter(text: str) -> str:
    """Return a Markdown text without the YAML between `---` lines at its head, which a page would show as text."""
    head, end, rest = text.partition("\n---\n")
    return rest.lstrip("\n") if end and head.startswith("---\n") else text


def equals(key: str, value: str) -> str:
    """Return a filter of MLflow's for what has this value, whatever quotes the two hold.

    Raises ValueError for a value that MLflow's grammar cannot say: one with both kinds of quotes.
    """
    if "'" in value and '"' in value:
        raise ValueError(f"MLflow cannot be asked for {value!r}: it holds both kinds of quotes")
    kind, _, name = key.partition(".")
    mark = '"' if "'" in value else "'"
    return f"{kind}.`{allowed(name)}` = {mark}{value}{mark}" if name else f"{key} = {mark}{value}{mark}"


def run_of(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run; None where `mlflow gc` has removed it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def runs_that_made(client: "MlflowClient", experiment_id: str, path: str, md5: str | None) -> "list[Run]":
    """Return the runs whose output at `path` had the bytes that DVC calls `md5`, the newest first: those of the
    experiment, or where it has none, of the others (tracking.experiment was another then).
    """
    query = equals(f"tags.dvc.out.{path}", str(md5))
    own = client.search_runs([experiment_id], query)
    others = [] if own else [one.experiment_id for one in client.search_experiments()]
    return own or (client.search_runs(others, query) if others else [])


def fail_unfinished_models(client: "MlflowClient", run: "Run") -> None:
    """Call those models of a run that has ended FAILED whose files were to come: MLflow would call them pending."""
    query = equals("source_run_id", run.info.run_id)
    for model in client.search_logged_models([run.info.experiment_id], query):
        if model.status == "PENDING":
            client.finalize_logged_model(model.model_id, "FAILED")


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, Any]) -> None:
    """Log flat params, see `as_params`."""
    from mlflow.entities import Param

    entities = [Param(name, text) for name, text in as_params(params).items()]
    for start in range(0, len(entities), 100):
        client.log_batch(run_id, params=entities[start : start + 100])


def log_points(
    client: "MlflowClient", run_id: str, points: list[tuple[str, float, int, int]], models: Sequence[str] = ()
) -> dict[str, str]:
    """Log (name, value, milliseconds since the epoch, step) points of a run, and of models, in few calls.

    Returns why MLflow refuses some of them, by name; the others are logged.
    """
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    refused: dict[str, str] = {}
    waiting = [points[start : start + 1000] for start in range(0, len(points), 1000)]
    while waiting:
        some = waiting.pop(0)
        try:
            for model_id in models or [None]:
                client.log_batch(run_id, metrics=[Metric(*point, model_id=model_id, run_id=run_id) for point in some])
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if len(some) == 1:
                refused[some[0][0]] = masked(str(error)).partition("\n")[0]
            else:
                waiting = [some[: len(some) // 2], some[len(some) // 2 :], *waiting]
    return refused


def as_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Return flat params as MLflow keeps them: under names that it takes, values as texts cut to its longest.

    Addresses in them lose their passwords, and by no more than their own text, so that runs can be compared by them.
    """
    return {allowed(name): without_credentials(str(value))[:LONGEST_PARAM] for name, value in params.items()}


def named(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers under names that MLflow takes, see `allowed`."""
    return {allowed(name): value for name, value in numbers.items()}


def allowed(name: str) -> str:
    """Return a name of a metric, param or tag as MLflow takes it; one that it refuses gets the mark of its own text.

    MLflow takes letters and digits of all scripts, "_-. :/", 250 characters, and nothing that a file system would read
    as another name ("a//b", "../a"). Two names that differ stay different.
    """
    taken = re.sub(r"[^\w\-. :/]", "_", name)
    if posixpath.normpath(taken) != taken or taken.startswith(("/", "..", ".")):
        taken = re.sub(r"^\.+|/", "_", taken)
    if taken == name and len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{taken[: LONGEST_NAME - 1 - len(mark)]} {mark}"
