"""The parent runs in MLflow: one a session, with every parameter and every final metric of its pipeline.

A session is one `dvc` command (or one process by hand): all its stages share one parent run, so that a table of parent
runs compares whole pipelines. It stays RUNNING until what the command asked for is there, or a stage came out as it was
before, after which DVC goes on to nothing; one whose dvc is gone by then was broken off, and the next stage to start
calls it KILLED.
"""

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.runs import lineage, mlflow_store, sessions
from rlhf.runs.flat import flat_numbers, flatten
from rlhf.runs.likeness import likeness
from rlhf.runs.mlflow_store import Store
from rlhf.runs.stage_name import StageName

if TYPE_CHECKING:
    from mlflow import MlflowClient

SESSION, COMMAND = "dvc.session", "dvc.command"
PRESET, CHANGED = "params.preset", "params.changed"  # what the run's params are like, and what they change of it
LAST = StageName("evaluate")  # the pipeline ends with it
OPTIONS_WITH_VALUES = {"-n", "-S", "-j", "-r", "-C", "-m", "--name", "--set-param", "--jobs", "--rev", "--copy-paths"}


class PipelineRun:
    """A session's parent run, made with all `params` by the first of its stages, and named after them.

    `session` identifies the dvc command's process, or the stage's own by hand.
    """

    def __init__(
        self,
        store: Store,
        root: Path,
        params: Mapping[str, Any],
        commit: lineage.Commit,
        tags: Mapping[str, str],
        session: str,
    ):
        self._client, self._experiment_id = store
        self._root, self._params = root, params
        experiment = os.environ.get("DVC_EXP_NAME", "")
        self._asked = targets(sessions.command_of(session)) or [LAST.title]
        key = f"{session} {experiment}".strip()
        found = self._client.search_runs([self._experiment_id], f"tags.`{SESSION}` = '{key}'", max_results=1)
        if found:
            self.run_id = found[0].info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            return
        like = likeness(root, params)
        words = " ".join(Path(word).name if "/" in word else word for word in sessions.command_of(session))
        own = {SESSION: key, mlflow_store.PROCESS: session, COMMAND: words}
        own |= {PRESET: like.preset, CHANGED: like.words[: mlflow_store.LONGEST_TAG]}
        run = self._client.create_run(
            self._experiment_id, run_name=like.named(experiment, commit), tags={**tags, **own}
        )
        self.run_id = run.info.run_id
        mlflow_store.log_params(self._client, self.run_id, flatten(params))
        self.describe([])

    def describe(self, parts: Sequence[str]) -> None:
        """Show texts on the run's page, the last one below what its params change of a preset."""
        changes = likeness(self._root, self._params).markdown()
        mlflow_store.write_page(self._client, self.run_id, [*parts[:-1], changes, *parts[-1:]])

    def begin(self, name: StageName, run_id: str) -> None:
        """Point to the run of a stage."""
        self._client.set_tag(self.run_id, f"stage.{name.place}", run_id)

    def end(self, name: StageName, status: str, over: bool) -> None:
        """Take in how a stage ended; `over`: DVC goes on to nothing after it, whatever was asked for."""
        self._client.set_tag(self.run_id, f"stage.{name.place}.status", status.lower())
        tags = self._client.get_run(self.run_id).data.tags
        ended = {tag: value for tag, value in tags.items() if tag.startswith("stage.") and tag.endswith(".status")}
        places = [tag.split(".")[1] for tag, value in ended.items() if value == "finished"]
        done = all(any(_is_of(place, target) for place in places) for target in self._asked)
        if status != "FINISHED" or over or done:
            self._client.set_terminated(self.run_id, status)

    def add_metrics(self, name: StageName) -> None:
        """Take in a stage's final metrics; the last stage's bring those of stages that DVC did not rerun."""
        present = self._client.get_run(self.run_id).data.metrics
        moment = time.time_ns() // 1_000_000
        points = []
        for file in metrics_files(self._root, name, self._params.get("rounds", {})):
            numbers = mlflow_store.named(flat_numbers(json.loads(file.read_text(encoding="utf-8"))))
            points += [(key, value, moment, 0) for key, value in numbers.items() if key not in present]
        mlflow_store.log_points(self._client, self.run_id, points)
        if name == LAST:
            self._name_cached_stages()

    def _name_cached_stages(self) -> None:
        """Tag the run with the earlier runs whose outputs this session reused, found by the md5 in dvc.lock."""
        known = self._client.get_run(self.run_id).data.tags
        for title, outs in lineage.locked_outs(self._root).items():
            place = StageName.of(title).place
            md5 = outs.get(f"data/{place}")
            if f"stage.{place}" in known or md5 is None:
                continue
            found = mlflow_store.runs_that_made(self._client, self._experiment_id, f"data/{place}", md5)
            if found:
                self._client.set_tag(self.run_id, f"stage.{place}", found[0].info.run_id)
                self._client.set_tag(self.run_id, f"stage.{place}.status", "cached")


def metrics_files(root: Path, name: StageName, rounds: Collection[str]) -> Iterator[Path]:
    """Yield the metrics that belong to the pipeline's run once a stage has ended: its own, and after the last one those
    that dvc.lock lists of the stages before it, where the file is the one that is listed.

    Of rounds that params.yaml no longer lists, whose entries DVC keeps, there are none.
    """
    own = root / f"metrics/{name.place}.json"
    if own.exists():
        yield own
    if name != LAST:
        return
    for title, outs in lineage.locked_outs(root).items():
        stage = StageName.of(title)
        if stage == name or (stage.round_name is not None and stage.round_name not in rounds):
            continue
        for path, md5 in outs.items():
            file = root / path
            if path == f"metrics/{stage.place}.json" and file.exists() and lineage.dvc_md5(file) == md5:
                yield file


def targets(command: Sequence[str]) -> list[str]:
    """Return the stages and outputs that a dvc command names; none where it asks for the whole pipeline."""
    found, skip = [], True
    for before, word in zip(["", *command], command, strict=False):
        if word in ("repro", "run"):
            skip = False
        elif not skip and not word.startswith("-") and before not in OPTIONS_WITH_VALUES:
            found.append(word.removeprefix("dvc.yaml:"))
    return [word for word in found if word != "dvc.yaml"]


def _is_of(place: str, target: str) -> bool:
    """Say whether a target names the stage of a place: by its name, as one of several rounds, or by its output."""
    named = StageName.of(target).place.removeprefix("data/").rstrip("/")
    return place == named or place.startswith(f"{named}/")


def reap(client: "MlflowClient", experiment_id: str) -> None:
    """Mark runs of this host as KILLED whose process is gone: kill -9 leaves them RUNNING for ever."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=100):
        process = run.data.tags.get(mlflow_store.PROCESS)
        if process and sessions.is_gone(process):
            client.set_terminated(run.info.run_id, "KILLED")
