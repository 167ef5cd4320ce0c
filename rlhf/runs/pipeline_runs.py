"""The parent runs in MLflow: one a session, with every parameter and every final metric of its pipeline.

A session is one `dvc` command (or one process by hand): all its stages share one parent run, so that a table of parent
runs compares whole pipelines. It stays RUNNING until what the command asked for is there, or a stage came out as it was
before, after which DVC goes on to nothing; one whose dvc is gone by then was broken off, and the next stage to start
calls it KILLED.
"""

import json
import os
import re
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
    from mlflow.entities import Run

SESSION, COMMAND = "dvc.session", "dvc.command"
PRESET, CHANGED = "params.preset", "params.changed"  # what the run's params are like, and what they change of it
LAST = StageName("evaluate")  # the pipeline ends with it
GRACE = 60.0  # seconds from an experiment's last stage until DVC has its results
_STATUS = re.compile(r"stage\..+\.status")  # tags of a parent: how its stages ended
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
        ended = {tag: value for tag, value in tags.items() if _STATUS.fullmatch(tag)}
        places = [tag.split(".")[1] for tag, value in ended.items() if value == "finished"]
        done = all(any(_is_of(place, target) for place in places) for target in self._asked)
        if status != "FINISHED" or over or done:
            self._client.set_terminated(self.run_id, status)

    def add_metrics(self, name: StageName) -> dict[str, str]:
        """Take in a stage's final metrics; the last stage's bring those of stages that DVC did not rerun.

        Returns why MLflow refuses some of them, by name.
        """
        present = self._client.get_run(self.run_id).data.metrics
        moment = time.time_ns() // 1_000_000
        points = []
        for file in metrics_files(self._root, name, self._params.get("rounds", {})):
            numbers = mlflow_store.named(flat_numbers(json.loads(file.read_text(encoding="utf-8"))))
            points += [(key, value, moment, 0) for key, value in numbers.items() if key not in present]
        if name == LAST:
            self._name_cached_stages()
        return mlflow_store.log_points(self._client, self.run_id, points)

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
    return _is_below(place, named)


def reap(store: Store, home: Path) -> None:
    """Give runs of this host whose process is gone their end: kill -9 leaves them RUNNING for ever.

    Where DVC restored the last stage from its run cache no process of ours ran: that pipeline has FINISHED. Others are
    KILLED. `home` is the repository in which DVC keeps its experiments.
    """
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'", max_results=100):
        process = run.data.tags.get(mlflow_store.PROCESS)
        if not process or not sessions.is_gone(process):
            continue
        experiment = run.data.tags.get("dvc.exp")
        revision = lineage.experiment(home, experiment) if experiment else None
        if SESSION in run.data.tags and _was_restored(store.client, run, home, revision):
            _take_in_what_was_restored(store, run, home, revision)
            store.client.set_terminated(run.info.run_id, "FINISHED")
        elif not (experiment and revision is None and _is_young(store.client, run)):
            store.client.set_terminated(run.info.run_id, "KILLED")


def _was_restored(client: "MlflowClient", run: "Run", home: Path, revision: str | None) -> bool:
    """Say whether all stages of a pipeline finished and dvc.lock has the last one made from what they made.

    The lock of an experiment, which DVC keeps when all is done, needs no second look; the one on disk does.
    """
    tags = run.data.tags
    statuses = {tag.removeprefix("stage.").removesuffix(".status"): tags[tag] for tag in tags if _STATUS.fullmatch(tag)}
    if {*statuses.values()} != {"finished"} or LAST.place in statuses:
        return False
    made = {
        f"data/{place}": client.get_run(tags[f"stage.{place}"]).data.tags.get(f"dvc.out.data/{place}")
        for place in statuses
    }
    locked = {path: md5 for outs in lineage.locked_outs(home, revision).values() for path, md5 in outs.items()}
    last = lineage.locked(home, revision).get(LAST.title, {})
    read = {
        dep["path"]: dep["md5"] for dep in last.get("deps", []) if any(_is_below(path, dep["path"]) for path in made)
    }
    is_of_now = revision is not None or all(_has(home / path, md5) for path, md5 in read.items())
    return bool(read) and is_of_now and all(md5 and locked.get(path) == md5 for path, md5 in made.items())


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _has(path: Path, md5: str) -> bool:
    return path.exists() and lineage.dvc_md5(path) == md5


def _take_in_what_was_restored(store: Store, run: "Run", home: Path, revision: str | None) -> None:
    """Give a pipeline the metrics of dvc.lock's stages, and figures and page of the run that made the last one."""
    moment, run_id = time.time_ns() // 1_000_000, run.info.run_id
    outs, numbers = lineage.locked_outs(home, revision), dict[str, float]()
    for title, paths in outs.items():
        place = StageName.of(title).place
        text = lineage.text_of(home, f"metrics/{place}.json", revision) if f"metrics/{place}.json" in paths else None
        numbers |= mlflow_store.named(flat_numbers(json.loads(text))) if text else {}
    made = mlflow_store.runs_that_made(*store, f"data/{LAST.place}", outs[LAST.title].get(f"data/{LAST.place}"))
    if made:
        own = f"{LAST.stage}."  # its other metrics are those that decide
        numbers |= {name: value for name, value in made[0].data.metrics.items() if not name.startswith(own)}
        store.client.set_tag(run_id, f"stage.{LAST.place}", made[0].info.run_id)
        store.client.set_tag(run_id, f"stage.{LAST.place}.status", "cached")
        pages = [one.data.tags.get(mlflow_store.PAGE, "") for one in (made[0], run)]
        mlflow_store.write_page(store.client, run_id, pages)
    points = [(name, value, moment, 0) for name, value in numbers.items() if name not in run.data.metrics]
    mlflow_store.log_points(store.client, run_id, points)


def _is_young(client: "MlflowClient", run: "Run") -> bool:
    """Say whether a pipeline's last stage ended just now: DVC keeps an experiment's results a moment later."""
    stages = [value for tag, value in run.data.tags.items() if tag.startswith("stage.") and not _STATUS.fullmatch(tag)]
    ends = [client.get_run(stage).info.end_time or 0 for stage in stages]
    return bool(ends) and time.time() - max(ends) / 1000 < GRACE
