"""Opening the MLflow store that `tracking.uri` names, and the two runs of a stage: its own and its session's parent.

A session is one `dvc` command (or one process by hand): all its stages share one parent run, which carries every
parameter and every final metric, so that a table of parent runs compares whole pipelines.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rlhf.params.tracking import Tracking
from rlhf.runs import artifact_addresses, sessions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SESSION, PROCESS, STATES = "dvc.session", "dvc.process", "checkpoints.key"
PREFLIGHT_SECONDS = 2.0
UI = "http://localhost:5000"  # where `make ui` serves a local database


def anchor(root: Path) -> Path:
    """Return the repository that holds mlflow.db: DVC's main one, also inside the temporary copies of `dvc exp run`."""
    return Path(os.environ.get("DVC_ROOT", root)).resolve()


def resolve_uri(uri: str | None, home: Path) -> str:
    """Return `uri` (null: $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db) with a relative sqlite path made absolute."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    return f"sqlite:///{home / uri.removeprefix('sqlite:///')}" if uri.startswith("sqlite:///") else uri


def open_store(settings: Tracking, home: Path) -> "tuple[MlflowClient, str]":
    """Return a client and the id of the experiment, both made on first use.

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


def _quieten() -> None:
    """Switch MLflow's telemetry, progress bars, own links and database chatter off; let a dead server cost seconds."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    patient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    for name, value in (quiet | patient).items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.git_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _connect(uri: str, experiment: str, home: Path) -> "tuple[MlflowClient, str]":
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        local = uri.startswith("sqlite:")  # a server chooses its own place for artifacts
        location = (home / artifact_addresses.FOLDER).as_uri() if local else None
        try:
            return client, client.create_experiment(experiment, artifact_location=location)
        except MlflowException:  # another process may have made it in between
            found = client.get_experiment_by_name(experiment)
            if found is None:
                raise
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and database.parent == home:
        moved = artifact_addresses.set_right(database, experiment)
        if moved:
            print(f"MLflow: {moved}", file=sys.stderr, flush=True)
    return client, found.experiment_id


def preflight(settings: Tracking, home: Path) -> None:
    """Look whether the store can be there. Raises ConnectionError naming the URI if an http(s) server does not answer
    within two seconds, or if the folder of a database does not exist."""
    uri = resolve_uri(settings.uri, home)
    if uri.startswith("sqlite:///") and not (folder := Path(uri.removeprefix("sqlite:///")).parent).is_dir():
        raise ConnectionError(f"tracking.uri {uri}: there is no folder {folder}; create it or correct the URI")
    if not uri.startswith(("http://", "https://")):
        return
    import requests

    try:
        requests.get(uri.rstrip("/") + "/health", timeout=PREFLIGHT_SECONDS)
    except requests.RequestException as error:
        raise ConnectionError(
            f"tracking.uri {redacted(uri)}: no answer within {PREFLIGHT_SECONDS:g} s ({type(error).__name__}); "
            "start that MLflow server, correct the URI in params.yaml or $MLFLOW_TRACKING_URI, "
            "or set tracking.enabled to false"
        ) from None


def redacted(uri: str) -> str:
    """Return a URI without its password."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def link(uri: str, experiment_id: str, run_id: str | None) -> str:
    """Return the address in the MLflow UI of a run, or of the experiment's table of runs if `run_id` is None."""
    base = uri.rstrip("/") if uri.startswith("http") else UI
    tail = "runs?workflowType=machine_learning" if run_id is None else f"runs/{run_id}"
    return f"{redacted(base)}/#/experiments/{experiment_id}/{tail}"


def runs_that_made(client: "MlflowClient", experiment_id: str, path: str, md5: str | None) -> "list[Run]":
    """Return the runs whose output at `path` had the bytes that DVC calls `md5`, the newest first."""
    return client.search_runs([experiment_id], f"tags.`dvc.out.{path}` = '{md5}'")


def start_parent(
    client: "MlflowClient", experiment_id: str, params: Mapping[str, Any], tags: Mapping[str, str], process: str
) -> str:
    """Return the id of a session's parent run, made with all `params` by its first stage; `process` is `dvc`'s."""
    experiment = os.environ.get("DVC_EXP_NAME", "")
    session = f"{process} {experiment}".strip()
    found = client.search_runs([experiment_id], f"tags.`{SESSION}` = '{session}'", max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return found[0].info.run_id
    run = client.create_run(
        experiment_id, run_name=experiment or None, tags={**tags, SESSION: session, PROCESS: process}
    )
    log_params(client, run.info.run_id, params)
    return run.info.run_id


def reap(client: "MlflowClient", experiment_id: str) -> None:
    """Mark runs of this host as KILLED whose process is gone: kill -9 leaves them RUNNING for ever."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=100):
        process = run.data.tags.get(PROCESS)
        if process and sessions.is_gone(process):
            client.set_terminated(run.info.run_id, "KILLED")


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, Any]) -> None:
    """Log flat params, values cut to MLflow's 6000 characters."""
    from mlflow.entities import Param

    entities = [Param(allowed(key), str(value)[:6000]) for key, value in params.items()]
    for start in range(0, len(entities), 100):
        client.log_batch(run_id, params=entities[start : start + 100])


def log_points(client: "MlflowClient", run_id: str, points: list[tuple[str, float, int, int]]) -> None:
    """Log (name, value, milliseconds since the epoch, step) points in as few calls as MLflow allows."""
    from mlflow.entities import Metric

    entities = [Metric(key=key, value=value, timestamp=moment, step=step) for key, value, moment, step in points]
    for start in range(0, len(entities), 1000):
        client.log_batch(run_id, metrics=entities[start : start + 1000])


def allowed(name: str) -> str:
    """Return a name of a metric, param or tag with the characters that MLflow refuses replaced by underscores."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)
