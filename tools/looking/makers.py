"""The runs that made given bytes, in any experiment of the store. Looking writes nothing."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_store
from rlhf.secrets.masking import masked

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"  # tag of a stage's run: the run of its pipeline
DELETED = "deleted"  # MLflow's stage of life of what was deleted and can still be restored


class Found(NamedTuple):
    """The runs whose output had given bytes, those of the params' own experiment first, then by time."""

    runs: "list[Run]"
    deleted: "list[Run]"  # by themselves, or with their experiment


class Makers:
    """The MLflow store of a repository's params, asked for the runs that made outputs."""

    def __init__(self, settings: Tracking, home: Path):
        self.uri = mlflow_store.resolve_uri(settings.uri, home)
        self.closed = ""  # why nothing can be read, where it cannot: no file, one without runs, no answer
        self._own = settings.experiment
        try:
            with _in_words(self.uri):
                self._client = client = mlflow_store.open_to_read(settings, home)
                found = _pages(lambda token: client.search_experiments(_everything(), page_token=token))
                self._experiments = {experiment.experiment_id: experiment for experiment in found}
        except ConnectionError as error:
            self.closed = masked(str(error))

    def made(self, path: str, md5: str) -> Found:
        """Return the finished runs whose output at `path` had the bytes that DVC calls `md5`."""
        if self.closed:
            return Found([], [])
        query = f"{mlflow_store.equals(f'tags.dvc.out.{path}', md5)} and attributes.status = 'FINISHED'"
        ids, client = [*self._experiments], self._client
        with _in_words(self.uri):
            runs = [*_pages(lambda token: client.search_runs(ids, query, _everything(), page_token=token))]
        runs.sort(key=lambda run: (self._name(run) != self._own, run.info.start_time))
        deleted = [run for run in runs if self._is_deleted(run)]
        return Found([run for run in runs if run not in deleted], deleted)

    def pipeline(self, run: "Run") -> "Run | None":
        """Return the pipeline's run that a stage's run belongs to; None if it was deleted, or there was none."""
        if PARENT not in run.data.tags:
            return None
        with _in_words(self.uri):
            parent = mlflow_store.run_of(self._client, run.data.tags[PARENT])
        return None if parent is None or self._is_deleted(parent) else parent

    def line(self, run: "Run") -> str:
        """Return when a run began, its experiment where that is not the params' own, and its address."""
        moment = datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{moment}  {self.link(run)}"

    def link(self, run: "Run") -> str:
        """Return a run's address, behind the name of its experiment where that is not the params' own."""
        other = "" if self._name(run) == self._own else f"in experiment '{self._name(run)}'  "
        return other + mlflow_store.link(self.uri, run.info.experiment_id, run.info.run_id)

    def table(self) -> str:
        """Return the address of the table of runs, or that the params' experiment is not there, or was deleted."""
        for experiment in self._experiments.values():
            if experiment.name == self._own and experiment.lifecycle_stage != DELETED:
                return mlflow_store.link(self.uri, experiment.experiment_id, None)
        deleted = self._own in [experiment.name for experiment in self._experiments.values()]
        what = f"experiment '{self._own}' was deleted in" if deleted else f"there is no experiment '{self._own}' in"
        return f"{what} {masked(self.uri)}"

    def unknown(self, found: Found) -> str:
        """Return why there is no run to show."""
        if self.closed:
            return self.closed
        store = masked(self.uri)
        if found.deleted:
            run = found.deleted[0]
            experiment = self._experiments[run.info.experiment_id]
            whole = experiment.lifecycle_stage == DELETED
            also = f" with its experiment '{experiment.name}'" if whole else ""
            one = f"runs restore --run-id {run.info.run_id}"
            back = f"experiments restore --experiment-id {experiment.experiment_id}" if whole else one
            store = shlex.quote(store)
            return f"its run was deleted in MLflow{also}; back with: MLFLOW_TRACKING_URI={store} mlflow {back}"
        names = [experiment.name for experiment in self._experiments.values()]
        absent = "" if self._own in names else f", where there is no experiment '{self._own}' either"
        return f"no run with these bytes in {store}{absent}"

    def _name(self, run: "Run") -> str:
        return self._experiments[run.info.experiment_id].name

    def _is_deleted(self, run: "Run") -> bool:
        """Say whether a run is to be seen in the UI no longer."""
        places = (run.info, self._experiments[run.info.experiment_id])
        return any(place.lifecycle_stage == DELETED for place in places)


def _everything() -> int:
    from mlflow.entities import ViewType

    return ViewType.ALL


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield what MLflow answers in pages."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _in_words(uri: str) -> Iterator[None]:
    """Turn a failure of the store into a ConnectionError of one line."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError) as error:  # the last of a database of a later MLflow
        reason = masked(str(error)).strip().splitlines()[0]
        if "readonly database" in reason:
            reason += " (looking changes nothing; `make ui` lets MLflow bring the tables up to date)"
        raise ConnectionError(f"MLflow cannot read {masked(uri)}: {reason}") from None
