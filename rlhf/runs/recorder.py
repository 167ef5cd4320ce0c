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
from rlhf.runs import lineage, machine, mlflow_store
from rlhf.runs.flat import flat_numbers, flatten
from rlhf.runs.stage_name import StageName

SECONDS_BETWEEN_FLUSHES = 5.0
LONGEST_PAUSE = 300.0  # seconds between two attempts at a store that keeps failing


class Recorder:
    """The child run of one stage and its session's parent run. Opening it may raise; nothing afterwards does."""

    def __init__(self, root: Path, name: StageName, settings: Tracking, key: str, process: str, session: str):
        """The arguments are what the stage's process sends over, in one message.

        `process` and `session` identify the stage's process and the `dvc` command's (see lineage).

        `key` is that of the training's states (see checkpoints): a run with it that did not finish goes on.
        """
        self._root, self._settings = root, settings
        self.name, self._place = name.title, name.place
        self._home = mlflow_store.anchor(root)
        self._client, self._experiment_id = mlflow_store.open_store(settings, self._home)
        mlflow_store.reap(self._client, self._experiment_id)
        self._commit = lineage.commit_of(root)
        content = {name: section for name, section in read_yaml(root / "params.yaml").items() if name != "tracking"}
        tags = self._tags()
        self._parent_id = mlflow_store.start_parent(self._client, self._experiment_id, flatten(content), tags, session)
        tags |= {"mlflow.parentRunId": self._parent_id, "dvc.stage": self.name}
        tags |= {mlflow_store.PROCESS: process}
        self._recorded: set[tuple[str, int]] = set()  # points that are there from before: name, step
        self.run_id = self._open(tags, key)
        self._client.set_tag(self._parent_id, f"stage.{self._place}", self.run_id)
        self._points: list[tuple[str, float, int, int]] = []
        self._flushed_at, self._pause = time.monotonic(), SECONDS_BETWEEN_FLUSHES
        self._logged_params: set[str] = set()
        own = {section: content[section] for section in ("seed", "runtime", name.stage) if section in content}
        if name.round_name is not None:
            own["round"] = content["rounds"][name.round_name]
        self.params(own)

    def _open(self, tags: dict[str, str], key: str) -> str:
        """Return the id of the run to record in: a new one, or the one that this training was broken off in."""
        if key:
            tags |= {mlflow_store.STATES: key}
            query = f"tags.`{mlflow_store.STATES}` = '{key}' and attributes.status != 'FINISHED'"
            for run in self._client.search_runs([self._experiment_id], query, max_results=1):
                run_id = run.info.run_id
                for name, value in tags.items():
                    self._client.set_tag(run_id, name, value)
                self._client.update_run(run_id, status="RUNNING")
                for name in run.data.metrics:
                    history = self._client.get_metric_history(run_id, name)
                    self._recorded |= {(name, point.step) for point in history}
                return run_id
        return self._client.create_run(self._experiment_id, run_name=self.name, tags=tags).info.run_id

    @property
    def link(self) -> str:
        """The run's address in the MLflow UI."""
        uri = mlflow_store.resolve_uri(self._settings.uri, self._home)
        return mlflow_store.link(uri, self._experiment_id, self.run_id)

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters that were not logged yet."""
        new = {key: value for key, value in flatten(params).items() if key not in self._logged_params}
        self._logged_params |= new.keys()
        with self._tolerant("params"):
            mlflow_store.log_params(self._client, self.run_id, new)

    def metrics(self, numbers: Mapping[str, float], step: int, moment: int) -> None:
        """Buffer metrics of a moment (milliseconds since the epoch); a batch goes out every few seconds, since one call
        costs as much as a thousand points."""
        points = [(mlflow_store.allowed(name), value, moment, step) for name, value in numbers.items()]
        self._points += [point for point in points if (point[0], step) not in self._recorded]
        if time.monotonic() - self._flushed_at >= self._pause:
            self.flush()

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

    def checkpoint(self, path: Path, beside: Sequence[Path] = ()) -> None:
        """Log a model folder as a LoggedModel that is an output of the run, with the files `beside` it."""
        from mlflow.entities import LoggedModelOutput

        with self._tolerant(f"checkpoint {path}"):
            by_reference = lineage.size_mb(path) > self._settings.max_checkpoint_mb
            tags = {"dvc.path": self._relative(path), "dvc.md5": lineage.dvc_md5(path), "git.commit": self._commit.sha}
            if by_reference:
                tags["mlflow.model.isExternal"] = "true"
            model = self._client.create_logged_model(
                self._experiment_id, name=re.sub(r"[^\w-]", "-", self.name), source_run_id=self.run_id, tags=tags
            )
            if not by_reference:
                self._client.log_model_artifacts(model.model_id, str(path))
            for other in beside:
                self._client.log_model_artifact(model.model_id, str(other))
            self._client.finalize_logged_model(model.model_id, "READY")
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])

    def describe(self, markdown: str) -> None:
        """Show a text on the pages of the run and of its parent."""
        with self._tolerant("the description"):
            for run_id in (self.run_id, self._parent_id):
                self._client.set_tag(run_id, "mlflow.note.content", markdown)

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
                out = Path("data") / self._place
                if (self._root / out).exists():
                    self._client.set_tag(self.run_id, f"dvc.out.{out}", lineage.dvc_md5(self._root / out))
                self._give_parent_metrics()
            self._client.set_tag(self._parent_id, f"stage.{self._place}.status", status.lower())
            self._client.set_terminated(self.run_id, status)
            self._client.set_terminated(self._parent_id, status)

    def _give_parent_metrics(self) -> None:
        """Put this stage's final metrics on the parent; the last stage adds those of stages that DVC did not rerun."""
        folder = self._root / "metrics"
        own = folder / f"{self._place}.json"
        files = [own] if own.exists() else []
        if self.name == "evaluate":
            files = sorted(folder.rglob("*.json"))
            self._name_cached_stages([file.relative_to(folder).with_suffix("").as_posix() for file in files])
        present = self._client.get_run(self._parent_id).data.metrics
        moment = time.time_ns() // 1_000_000
        points = []
        for file in files:
            numbers = flat_numbers(json.loads(file.read_text(encoding="utf-8")))
            points += [(mlflow_store.allowed(name), value, moment, 0) for name, value in numbers.items()]
        mlflow_store.log_points(self._client, self._parent_id, [point for point in points if point[0] not in present])

    def _name_cached_stages(self, places: list[str]) -> None:
        """Tag the parent with the earlier runs whose outputs this session reused, found by the md5 in dvc.lock."""
        known = self._client.get_run(self._parent_id).data.tags
        locked = lineage.locked_outs(self._root)
        for place in places:
            name = place.replace("/", "@")
            md5 = locked.get(name, {}).get(f"data/{place}")
            if f"stage.{place}" in known or md5 is None:
                continue
            found = mlflow_store.runs_that_made(self._client, self._experiment_id, f"data/{place}", md5)
            if found:
                self._client.set_tag(self._parent_id, f"stage.{place}", found[0].info.run_id)
                self._client.set_tag(self._parent_id, f"stage.{place}.status", "cached")

    def flush(self) -> None:
        """Send what is buffered."""
        self._flushed_at = time.monotonic()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)  # undone below: a dead server must not slow training down
        with self._tolerant("metrics"):
            mlflow_store.log_points(self._client, self.run_id, self._points)
            self._points, self._pause = [], SECONDS_BETWEEN_FLUSHES

    def _relative(self, path: Path) -> str:
        full, root = path.resolve(), self._root.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)

    def _tags(self) -> dict[str, str]:
        return {
            "mlflow.user": os.environ.get("USER", ""),
            "mlflow.source.type": "PROJECT",
            "mlflow.source.name": "dvc.yaml",
            "mlflow.source.git.commit": self._commit.sha,
            "git.dirty": str(self._commit.dirty).lower(),
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
            print(f"WARNING: {self.name}: MLflow did not take {what}: {reason[0]}", file=sys.stderr, flush=True)
