"""One stage's run in MLflow: buffered writes, datasets and models; after opening, no failure of the store is fatal."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.params.base import read_yaml
from rlhf.params.tracking import Tracking
from rlhf.runs import lineage, machine, mlflow_store, pipeline_runs
from rlhf.runs.pipeline_runs import PipelineRun
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import flatten

SECONDS_BETWEEN_FLUSHES = 5.0
STATES = "checkpoints.key"  # tag of a run: the training that it can go on with
LONGEST_PAUSE = 300.0  # seconds between two attempts at a store that keeps failing


class Recorder:
    """The child run of one stage and its session's parent run. Opening it may raise; nothing afterwards does."""

    def __init__(self, root: Path, name: StageName, settings: Tracking, key: str, process: str, session: str):
        """The arguments are what the stage's process sends over, in one message.

        `process` and `session` identify the stage's process and the `dvc` command's (see sessions).

        `key` is that of the training's states (see checkpoints): a run with it that did not finish goes on.
        """
        self._root, self._settings, self._stage = root, settings, name
        self._is_by_hand = process == session
        self._home = mlflow_store.anchor(root)
        self._store = mlflow_store.open_store(settings, self._home)
        self._client, self._experiment_id = self._store
        pipeline_runs.reap(self._store, self._home)
        self._commit = lineage.commit_of(root)
        content = {name: section for name, section in read_yaml(root / "params.yaml").items() if name != "tracking"}
        tags = self._tags()
        self._pipeline = PipelineRun(self._store, root, content, self._commit, tags, session)
        tags |= {"mlflow.parentRunId": self._pipeline.run_id, "dvc.stage": name.title}
        tags |= {mlflow_store.PROCESS: process}
        self._recorded: set[tuple[str, int]] = set()  # points that are there from before: name, step
        self.run_id = self._open(tags, key)
        self._pipeline.begin(name, self.run_id)
        self._points: list[tuple[str, float, int, int]] = []
        self._flushed_at, self._pause = time.monotonic(), SECONDS_BETWEEN_FLUSHES
        self._logged_params: dict[str, Any] = {}
        self._models: list[str] = []  # ids of those that the run has made or measured
        own = {section: content[section] for section in ("seed", "runtime", name.stage) if section in content}
        if name.round_name is not None:
            own["round"] = content["rounds"][name.round_name]
        self.params(own)

    def _open(self, tags: dict[str, str], key: str) -> str:
        """Return the id of the run to record in: a new one, or the one that this training was broken off in."""
        if key:
            tags |= {STATES: key}
            query = f"tags.`{STATES}` = '{key}' and attributes.status != 'FINISHED'"
            for run in self._client.search_runs([self._experiment_id], query, max_results=1):
                run_id = run.info.run_id
                for name, value in tags.items():
                    self._client.set_tag(run_id, name, value)
                self._client.update_run(run_id, status="RUNNING")
                for name in run.data.metrics:
                    history = self._client.get_metric_history(run_id, name)
                    self._recorded |= {(name, point.step) for point in history}
                return run_id
        return self._client.create_run(self._experiment_id, run_name=self._stage.title, tags=tags).info.run_id

    @property
    def link(self) -> str:
        """The run's address in the MLflow UI."""
        uri = mlflow_store.resolve_uri(self._settings.uri, self._home)
        return mlflow_store.link(uri, self._experiment_id, self.run_id)

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters that were not logged yet."""
        new = {key: value for key, value in flatten(params).items() if key not in self._logged_params}
        self._logged_params |= new
        with self._tolerant("params"):
            mlflow_store.log_params(self._client, self.run_id, new)

    def metrics(self, numbers: Mapping[str, float], step: int, moment: int) -> None:
        """Buffer a step's points of a moment (milliseconds since the epoch); a batch goes out every few seconds, since
        one call costs as much as a thousand points."""
        points = [(name, value, moment, step) for name, value in mlflow_store.named(numbers).items()]
        self._points += [point for point in points if (point[0], step) not in self._recorded]
        if time.monotonic() - self._flushed_at >= self._pause:
            self.flush()

    def results(self, numbers: Mapping[str, float], moment: int) -> None:
        """Log numbers that belong to no step, and to the models that the run has logged."""
        self._log_results(numbers, moment, "results", [])

    def decide(self, numbers: Mapping[str, float], columns: Sequence[str], moment: int) -> None:
        """Log the few numbers by which runs are compared, to the run, its models and the pipeline's run; the table of
        runs shows those in `columns`.
        """
        self._log_results(numbers, moment, "what decides", [self._pipeline.run_id])
        with self._tolerant("the columns of the table of runs"):
            shown = [mlflow_store.allowed(name) for name in columns]
            mlflow_store.offer_view(self._store, [pipeline_runs.CHANGED], shown)

    def _log_results(self, numbers: Mapping[str, float], moment: int, what: str, others: Sequence[str]) -> None:
        """Log numbers that belong to no step to this run and its models, and to other runs."""
        points = [(name, value, moment, 0) for name, value in mlflow_store.named(numbers).items()]
        with self._tolerant(what):
            self._show(mlflow_store.log_points(self._client, self.run_id, points, self._models))
            for run_id in others:
                self._show(mlflow_store.log_points(self._client, run_id, points))

    def inputs(self, paths: Sequence[Path], context: str) -> None:
        """Log files and folders as datasets with DVC's md5 as digest, and tag the run with each."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with self._tolerant("inputs"):
            datasets = []
            for path in paths:
                name, md5 = self._relative(path), lineage.dvc_md5(path)
                source = json.dumps({"uri": str(path.resolve())})
                dataset = Dataset(name=name, digest=md5, source_type="local", source=source)
                datasets.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
                self._client.set_tag(self.run_id, mlflow_store.allowed(f"dvc.dep.{name}"), md5)
            self._client.log_inputs(self.run_id, datasets=datasets)

    def model(self, path: Path) -> None:
        """Log a model folder as a LoggedModel that is an output of the run and of the pipeline's, with the params that
        were logged before it; the results that are logged after it become its own too."""
        with self._tolerant(f"model {path}"):
            by_reference = lineage.size_mb(path) > self._settings.max_model_mb
            tags = {"dvc.path": self._relative(path), "dvc.md5": lineage.dvc_md5(path), "git.commit": self._commit.sha}
            if by_reference:
                tags["mlflow.model.isExternal"] = "true"
            params = mlflow_store.as_params(self._logged_params)
            name = re.sub(r"[^\w-]", "-", self._stage.title)
            model = self._client.create_logged_model(self._experiment_id, name, self.run_id, tags=tags, params=params)
            if not by_reference:
                self._client.log_model_artifacts(model.model_id, str(path))
            self._client.finalize_logged_model(model.model_id, "READY")
            self._add_output(model.model_id)

    def card(self, path: Path, card: Path) -> None:
        """Show a model's card on its page, and take it for an output of this run, so that results become its own."""
        with self._tolerant(f"card {card}"):
            query = f"tags.`dvc.md5` = '{lineage.dvc_md5(path)}'"
            found = self._client.search_logged_models([self._experiment_id], query)
            if not found:  # made where nothing was recorded, or in another store
                self.model(path)
            for model in found:
                self._add_output(model.model_id)
            for model_id in self._models:
                self._client.log_model_artifact(model_id, str(card))
                text = mlflow_store.fitting([card.read_text(encoding="utf-8")])
                self._client.set_logged_model_tags(model_id, {mlflow_store.PAGE: text})

    def _add_output(self, model_id: str) -> None:
        from mlflow.entities import LoggedModelOutput

        self._models.append(model_id)
        for run_id in (self.run_id, self._pipeline.run_id):
            outputs = self._client.get_run(run_id).outputs
            if outputs is None or model_id not in [one.model_id for one in outputs.model_outputs]:
                self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    def describe(self, parts: Sequence[str], pictures: Sequence[Path]) -> None:
        """Show texts on the pages of the run and of its parent, behind the first one pictures among its artifacts."""
        shown = [f"![{path.stem}](get-artifact?path={path.name}&run_uuid={self.run_id})" for path in pictures]
        with self._tolerant("the description"):
            parts = [*parts[:1], *shown, *parts[1:]]
            mlflow_store.write_page(self._client, self.run_id, parts)
            self._pipeline.describe(parts)

    def artifact(self, path: Path) -> None:
        """Copy a file, or a folder under its own name, to the run's artifacts."""
        with self._tolerant(f"artifact {path}"):
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)
            else:
                self._client.log_artifact(self.run_id, str(path))

    def close(self, status: str) -> None:
        """Send what is buffered, end the run with FINISHED, FAILED or KILLED, and bring the parent up to date."""
        self.flush()
        with self._tolerant("end of run"):
            if status == "FINISHED":
                out = f"data/{self._stage.place}"
                if (self._root / out).exists():
                    md5 = lineage.dvc_md5(self._root / out)
                    self._client.set_tag(self.run_id, mlflow_store.allowed(f"dvc.out.{out}"), md5)
                self._show(self._pipeline.add_metrics(self._stage))
            self._client.set_terminated(self.run_id, status)
            self._pipeline.end(self._stage, status, over=self._is_by_hand)

    def flush(self) -> None:
        """Send what is buffered."""
        self._flushed_at = time.monotonic()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)  # undone below: a dead server must not slow training down
        with self._tolerant("metrics"):
            refused = mlflow_store.log_points(self._client, self.run_id, self._points)
            self._points, self._pause = [], SECONDS_BETWEEN_FLUSHES
            self._show(refused)

    def _show(self, refused: Mapping[str, str]) -> None:
        for name, why in refused.items():
            print(f"WARNING: {self._stage.title}: MLflow refuses {name}: {why}", file=sys.stderr, flush=True)

    def _relative(self, path: Path) -> str:
        full, root = path.resolve(), self._root.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)

    def _tags(self) -> dict[str, str]:
        return {
            "mlflow.user": os.environ.get("USER", ""),
            "mlflow.source.type": "PROJECT",
            "mlflow.source.name": "dvc.yaml",
            "mlflow.source.git.commit": self._commit.sha,
            "git.dirty": str(bool(self._commit.changed)).lower(),
            "git.changed": " ".join(self._commit.changed),
            "processes": os.environ.get("WORLD_SIZE", "1"),  # as started, which params.yaml need not know
            "dvc.exp": os.environ.get("DVC_EXP_NAME", ""),
            **machine.tags(),
        }

    @contextmanager
    def _tolerant(self, what: str) -> Iterator[None]:
        """Turn a failure of the store or the disk into a warning: by now there may be a trained model to lose."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            print(f"WARNING: {self._stage.title}: MLflow did not take {what}: {reason[0]}", file=sys.stderr, flush=True)
