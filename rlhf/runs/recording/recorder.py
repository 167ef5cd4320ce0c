"""One stage's run in MLflow: buffered writes, datasets and models; after opening, no failure of the store is fatal."""

import functools
import importlib.metadata
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.params.tracking import Tracking
from rlhf.runs import dependencies, lineage, machine, mlflow_store, sessions
from rlhf.runs.recording import attempts, pipeline_runs, reaping, wholeness
from rlhf.runs.recording.attempts import Attempt, Training
from rlhf.runs.recording.outbox import Outbox
from rlhf.runs.recording.pipeline_runs import PipelineRun
from rlhf.runs.recording.watching import Watch
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import flatten
from rlhf.secrets import guard
from rlhf.secrets.masking import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

SECONDS_BETWEEN_FLUSHES = 5.0
STATES = "checkpoints.key"  # tag of a run: the training that it can go on with
REWARD_MODEL_CODE = Path(__file__).with_name("reward_model_code.py")
MODELS = "models"  # the line of operations in which results come behind the models that they are of


class Recorder:
    """The child run of one stage and its session's parent run. Opening it may raise; nothing afterwards does."""

    def __init__(
        self,
        root: Path,
        name: StageName,
        settings: Tracking,
        training: Training,
        params: Mapping[str, Any],
        processes: tuple[str, str],
    ):
        """The arguments are what the stage's process sends over, in one message.

        `params`: what it has read of params.yaml, which may be edited by now. `processes` identifies its own and the
        `dvc` command's (see sessions).

        A run of the same `training` that did not finish goes on.
        """
        self._root, self._settings, self._stage = root, settings, name
        process, session = processes
        self._process, self._session = process, session
        self._is_by_hand = process == session
        self._home = mlflow_store.anchor(root)
        self._store = mlflow_store.open_store(settings, self._home)
        self._client, self._experiment_id = self._store
        reaping.reap(self._store, self._home)
        self._commit = lineage.commit_of(root)
        content = {name: section for name, section in params.items() if name != "tracking"}
        tags = self._tags()
        self._pipeline = PipelineRun(self._store, root, content, self._commit, tags, processes)
        tags |= {"mlflow.parentRunId": self._pipeline.run_id, "dvc.stage": name.title}
        tags |= {mlflow_store.PROCESS: process} | dependencies.code_tag(dependencies.code(root, name, content))
        self._recorded: set[tuple[str, int]] = set()  # points that are there from before: name, step
        self._attempt, self._taken_over = Attempt(1, 0, 0.0), ""
        self.run_id = self._open(tags, training)
        self._pipeline.begin(name, self.run_id)
        self._outbox = Outbox(name.title)
        self._points: list[tuple[str, float, int, int]] = []
        self._flushed_at = time.monotonic()
        self._logged_params: dict[str, Any] = {}
        self._models: list[str] = []  # ids of those that the run has made or measured
        self._page: list[str] = []
        own = {section: content[section] for section in ("seed", "runtime", name.stage) if section in content}
        if name.round_name is not None:
            own["round"] = content["rounds"][name.round_name]
        self.params(own)

    def _open(self, tags: dict[str, str], training: Training) -> str:
        """Return the id of the run to record in: a new one, or the one that this training was broken off in."""
        begun = sessions.began(tags[mlflow_store.PROCESS])  # with its imports and what it looked at before
        if training.key:
            tags |= {STATES: training.key}
            query = f"{mlflow_store.equals(f'tags.{STATES}', training.key)} and attributes.status != 'FINISHED'"
            found = self._client.search_runs([self._experiment_id], query)
            for run in [run for run in found if self._is_own(run, tags, training)][:1]:
                run_id = run.info.run_id
                self._attempt = attempts.next_of(run, begun)
                for name, value in (tags | self._attempt.tags()).items():
                    self._client.set_tag(run_id, name, value)
                self._client.update_run(run_id, status="RUNNING")
                self._taken_over = attempts.taken_over(run.data.tags)
                mlflow_store.write_page(self._client, run_id, [self._taken_over, self._attempt.words()])
                self._pipeline.go_on_with(self._stage, run.data.tags.get("mlflow.parentRunId"))
                for name in run.data.metrics:
                    history = self._client.get_metric_history(run_id, name)
                    self._recorded |= {(name, point.step) for point in history}
                return run_id
        tags |= {attempts.BEFORE: str(training.steps)} if training.steps else {}
        self._taken_over = attempts.taken_over(tags)
        run = self._client.create_run(self._experiment_id, begun, run_name=self._stage.title, tags=tags)
        mlflow_store.write_page(self._client, run.info.run_id, [self._taken_over])
        return run.info.run_id

    def _is_own(self, run: "Run", tags: Mapping[str, str], training: Training) -> bool:
        """Say whether it was this repository that broke a run off: others that record in the same store may train, or
        have trained, the same. Of a host that cannot be seen from here, the states tell that are here.
        """
        host, other = (of.get(mlflow_store.PROCESS, "").rsplit(" ", 2)[0] for of in (tags, run.data.tags))
        if host == other:
            return reaping.is_of(self._home, run.data.tags.get(reaping.HOME))
        return training.steps > 0 and run.data.tags.get(reaping.HOME) == str(self._home)

    @property
    def link(self) -> str:
        """The run's address in the MLflow UI."""
        uri = mlflow_store.resolve_uri(self._settings.uri, self._home)
        return mlflow_store.link(uri, self._experiment_id, self.run_id)

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters that were not logged yet."""
        new = {key: value for key, value in flatten(params).items() if key not in self._logged_params}
        self._logged_params |= new
        self._outbox.put("params", lambda: mlflow_store.log_params(self._client, self.run_id, new))

    def metrics(self, numbers: Mapping[str, float], step: int, moment: int) -> None:
        """Buffer a step's points of a moment (milliseconds since the epoch); a batch goes out every few seconds, since
        one call costs as much as a thousand points."""
        points = [(name, value, moment, step) for name, value in mlflow_store.named(numbers).items()]
        self._points += [point for point in points if (point[0], step) not in self._recorded]
        if self.due_in() == 0:
            self.flush()

    def results(self, numbers: Mapping[str, float], moment: int) -> None:
        """Log numbers that belong to no step, and to the models that the run has logged."""
        self._log_results(numbers, moment, "results", [self.run_id])

    def decide(self, numbers: Mapping[str, float], columns: Sequence[str], moment: int) -> None:
        """Log the few numbers by which runs are compared, to the run, its models and the pipeline's run; the table of
        runs shows those in `columns`.
        """
        self._log_results(numbers, moment, "what decides", [self.run_id, self._pipeline.run_id])
        shown = [mlflow_store.allowed(name) for name in columns]
        offer = functools.partial(mlflow_store.offer_view, self._store, [pipeline_runs.CHANGED], shown)
        self._outbox.put("the columns of the table of runs", offer)

    def _log_results(self, numbers: Mapping[str, float], moment: int, what: str, runs: Sequence[str]) -> None:
        """Log numbers that belong to no step to runs, and to the models of this one."""
        points = [(name, value, moment, 0) for name, value in mlflow_store.named(numbers).items()]

        def log_to_runs() -> None:
            for run_id in runs:
                self._show(mlflow_store.log_points(self._client, run_id, points))

        def log_to_models() -> None:
            mlflow_store.log_points(self._client, self.run_id, points, self._models)

        self._outbox.put(what, log_to_runs)
        if self._models or self._outbox.holds(MODELS):
            self._outbox.put(f"{what} on the models' pages", log_to_models, line=MODELS)

    def inputs(self, paths: Sequence[Path], context: str) -> None:
        """Log files and folders as datasets with DVC's md5 as digest, and tag the run with each."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        md5s = functools.cache(lambda: {path: lineage.dvc_md5(path) for path in paths})

        def log() -> None:
            datasets = []
            for path, md5 in md5s().items():
                name, source = self._relative(path), json.dumps({"uri": str(path.resolve())})
                dataset = Dataset(name=name, digest=md5, source_type="local", source=source)
                datasets.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
                self._client.set_tag(self.run_id, mlflow_store.allowed(f"dvc.dep.{name}"), md5)
            self._client.log_inputs(self.run_id, datasets=datasets)

        self._outbox.put("inputs", log)

    def model(self, path: Path) -> None:
        """Log a model folder as a LoggedModel that is an output of the run and of the pipeline's, with the params that
        were logged before it; the results that are logged after it become its own too."""
        params = mlflow_store.as_params(self._logged_params)
        self._outbox.put(f"model {path}", lambda: self._add_model(path, params), line=MODELS)

    def _add_model(self, path: Path, params: dict[str, str]) -> "LoggedModel":
        """Make a model of the folder, or find the one that an attempt before this has made; its files come later."""
        client, md5 = self._client, lineage.dvc_md5(path)
        query = f"{mlflow_store.equals('source_run_id', self.run_id)} AND {mlflow_store.equals('tags.dvc.md5', md5)}"
        found = client.search_logged_models([self._experiment_id], query)
        by_reference = lineage.size_mb(path) > self._settings.max_model_mb
        if found:
            model = found[0]
        else:
            tags = {"dvc.path": self._relative(path), "dvc.md5": md5, "git.commit": self._commit.sha}
            tags |= self._changes() | ({"mlflow.model.isExternal": "true"} if by_reference else {})
            name = re.sub(r"[^\w-]", "-", self._stage.title)
            model = client.create_logged_model(self._experiment_id, name, self.run_id, tags=tags, params=params)
        self._add_output(model.model_id)

        def finish() -> None:
            if not by_reference:
                client.log_model_artifacts(model.model_id, str(path))
                if (path / "scorer.py").is_file():
                    _log_as_pyfunc(client, model.model_id)
            client.finalize_logged_model(model.model_id, "READY")

        self._outbox.put(f"files of model {path}", finish)
        return model

    def card(self, path: Path, card: Path) -> None:
        """Show a model's card on its page, and take it for an output of this run, so that results become its own."""
        params = mlflow_store.as_params(self._logged_params)

        def show() -> None:
            query = mlflow_store.equals("tags.dvc.md5", lineage.dvc_md5(path))
            found = self._client.search_logged_models([self._experiment_id], query)
            if not found:  # made where nothing was recorded, or in another store
                found = [self._add_model(path, params)]
            text = mlflow_store.fitting([mlflow_store.without_front_matter(card.read_text(encoding="utf-8"))])
            for model in found:
                self._add_output(model.model_id)
                self._client.set_logged_model_tags(model.model_id, {mlflow_store.PAGE: text})
                copy = functools.partial(self._client.log_model_artifact, model.model_id, str(card))
                self._outbox.put(f"file of card {card}", copy)

        self._outbox.put(f"card {card}", show, line=MODELS)

    def _add_output(self, model_id: str) -> None:
        from mlflow.entities import LoggedModelOutput

        for run_id in (self.run_id, self._pipeline.run_id):
            outputs = self._client.get_run(run_id).outputs
            if outputs is None or model_id not in [one.model_id for one in outputs.model_outputs]:
                self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        if model_id not in self._models:
            self._models.append(model_id)

    def describe(self, parts: Sequence[str], pictures: Sequence[Path]) -> None:
        """Show texts on the pages of the run and of its parent, behind the first one pictures among its artifacts."""
        shown = [f"![{path.stem}](get-artifact?path={path.name}&run_uuid={self.run_id})" for path in pictures]
        self._page = [*parts[:1], *shown, *parts[1:]]
        self._write_page(self._attempt.words())
        self._outbox.put("the pipeline's description", functools.partial(self._pipeline.describe, self._page))

    def _write_page(self, head: str) -> None:
        page = [self._taken_over, head, *self._page]
        self._outbox.put("the description", lambda: mlflow_store.write_page(self._client, self.run_id, page))

    def artifact(self, path: Path) -> None:
        """Copy a file, or a folder under its own name, to the run's artifacts."""

        def copy() -> None:
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)
            else:
                self._client.log_artifact(self.run_id, str(path))

        self._outbox.put(f"artifact {path}", copy)

    def close(self, status: str, wait: Callable[[float], object] = time.sleep) -> None:
        """Send what is buffered, end the run with FINISHED, FAILED or KILLED, and bring the parent up to date.

        What an outage keeps from the store is tried again for a while, see Outbox.drain.
        """
        moment, put = _now(), self._outbox.put
        self.flush()
        if status == "FINISHED":
            put("the md5 of what was made", self._tag_output)
            put("the pipeline's metrics", lambda: self._show(self._pipeline.add_metrics(self._stage)))
        if self._attempt.number > 1:
            worked = f"{self._attempt.worked(moment):.1f}"
            put("the time worked", lambda: self._client.set_tag(self.run_id, attempts.WORKED, worked))
            self._write_page(self._attempt.words(moment))
        put("end of run", lambda: self._client.set_terminated(self.run_id, status, end_time=moment))
        put("the pipeline's end", lambda: self._pipeline.end(self._stage, status, self._is_by_hand, moment))
        lost = self._outbox.drain(wait)
        if lost:
            put("what is lost", lambda: self._say_what_is_lost(lost))

    def watch(self) -> Watch | None:
        """Return what to stay for after close(): dvc, if it lives, and may end this pipeline without another stage, or
        has not recorded yet what a pipeline made that has FINISHED.

        Of an experiment that runs there is nothing to see as dvc ends: its commit says later what it made. In a copy
        (`dvc exp run --temp`), whose lock is removed with it, there is nothing to see of any.
        """
        if self._is_by_hand or not sessions.command_of(self._session):
            return None
        try:
            pipeline = mlflow_store.run_of(self._client, self._pipeline.run_id)
            status = pipeline.info.status if pipeline else ""
            made = wholeness.made(self._client, pipeline) if pipeline and status == "FINISHED" else {}
        except Exception:  # noqa: BLE001 - the store is away: the next stage, or `make ui`, looks
            return None
        is_here = self._root.resolve() == self._home
        if not (made and is_here or status == "RUNNING" and not os.environ.get("DVC_EXP_NAME")):
            return None
        key = sessions.session_key(self._session)
        return Watch(self._store, self._home, self._session, key, self._process, self._pipeline.run_id, made)

    def _say_what_is_lost(self, lost: str) -> None:
        """Name on the run's page, and on the pipeline's if that shows the same, what MLflow has not taken."""
        line = f"**{self._stage.title}: MLflow did not take all of it.** Not here: {lost}."
        for run_id in (self.run_id, *([self._pipeline.run_id] if self._page else [])):
            mlflow_store.put_first(self._client, self._client.get_run(run_id), line)
        mlflow_store.fail_unfinished_models(self._client, self._client.get_run(self.run_id))

    def _tag_output(self) -> None:
        """Tag the run with the md5 of what the stage has made, if it has."""
        out = f"data/{self._stage.place}"
        if (self._root / out).exists():
            md5 = lineage.dvc_md5(self._root / out)
            self._client.set_tag(self.run_id, mlflow_store.allowed(f"dvc.out.{out}"), md5)

    def leave(self) -> None:
        """Send what is there; the run has no end, since its stage was killed."""
        self.flush()
        self._outbox.drain(time.sleep)

    def due_in(self) -> float | None:
        """Return the seconds until something that waits here should go out; None if nothing does."""
        kept = self._outbox.due_in()
        if kept is not None or not self._points:
            return kept
        return max(0.0, self._flushed_at + SECONDS_BETWEEN_FLUSHES - time.monotonic())

    def flush(self) -> None:
        """Send what is buffered, and what an outage has kept here if its pause is over."""
        self._flushed_at = time.monotonic()
        if self._points and not self._outbox.holds("metrics"):
            self._outbox.put("metrics", self._send_points, size=lambda: len(self._points))
        elif self._outbox.is_due():
            self._outbox.attempt()

    def _send_points(self) -> None:
        refused = mlflow_store.log_points(self._client, self.run_id, self._points)
        self._points = []
        self._show(refused)

    def _show(self, refused: Mapping[str, str]) -> None:
        for name, why in refused.items():
            guard.say(f"WARNING: {self._stage.title}: MLflow refuses {name}: {why}")

    def _relative(self, path: Path) -> str:
        return lineage.named(self._root.resolve(), path.resolve())

    def _tags(self) -> dict[str, str]:
        found = {
            "mlflow.user": os.environ.get("USER", ""),
            "mlflow.source.type": "PROJECT",
            "mlflow.source.name": "dvc.yaml",
            pipeline_runs.COMMIT: self._commit.sha,
            **self._changes(),
            "processes": os.environ.get("WORLD_SIZE", "1"),  # as started, which params.yaml need not know
            reaping.HOME: str(self._home),
            "dvc.exp": os.environ.get("DVC_EXP_NAME", ""),
            **machine.tags(),
        }
        return {name: masked(value) for name, value in found.items()}

    def _changes(self) -> dict[str, str]:
        """Return what differs from the commit that a run or a model names."""
        changed = self._commit.changed
        return {pipeline_runs.DIRTY: str(bool(changed)).lower(), pipeline_runs.CHANGED_FILES: masked(" ".join(changed))}


def _now() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _log_as_pyfunc(client: "MlflowClient", model_id: str) -> None:
    """Add to a reward model's files what makes them a pyfunc model: code that reads scorer.py beside it, no pickle.

    MLmodel says when it was made, so it is no file of the folder that DVC keeps.
    """
    import mlflow.pyfunc

    needed = [f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "transformers", "safetensors")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that predict has no type hints: of those MLflow would make a schema
            mlflow.pyfunc.save_model(folder, python_model=str(REWARD_MODEL_CODE), pip_requirements=needed)
        client.log_model_artifacts(model_id, str(folder))
