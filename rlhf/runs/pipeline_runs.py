"""The parent runs in MLflow: one a session, with every parameter and every final metric of its pipeline.

A session is one `dvc` command (or one process by hand): all its stages share one parent run, so that a table of parent
runs compares whole pipelines. It stays RUNNING until what the command asked for is there. Of one whose dvc is gone by
then the next stage to start, or `make ui`, says what became of it (`reap`).
"""

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.runs import lineage, mlflow_store, sessions
from rlhf.runs.likeness import likeness
from rlhf.runs.mlflow_store import Store
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import flat_numbers, flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SESSION, COMMAND = "dvc.session", "dvc.command"
PRESET, CHANGED = "params.preset", "params.changed"  # what the run's params are like, and what they change of it
LAST = StageName("evaluate")  # the pipeline ends with it
GRACE = 60.0  # seconds from an experiment's last stage until DVC has its results
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
        mlflow_store.write_page(self._client, self.run_id, [like.markdown()])

    def describe(self, parts: Sequence[str]) -> None:
        """Show texts on the run's page, the last one below what its params change of a preset."""
        changes = likeness(self._root, self._params).markdown()
        mlflow_store.write_page(self._client, self.run_id, [*parts[:-1], changes, *parts[-1:]])

    def begin(self, name: StageName, run_id: str) -> None:
        """Point to the run of a stage."""
        self._client.set_tag(self.run_id, f"stage.{name.place}", run_id)

    def end(self, name: StageName, status: str, over: bool) -> None:
        """Take in how a stage ended; `over`: nothing comes after it, whatever was asked for."""
        self._client.set_tag(self.run_id, f"stage.{name.place}.status", status.lower())
        tags = self._client.get_run(self.run_id).data.tags
        places = [place for place, ended in _stages(tags).items() if ended == "finished"]
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
        for title, outs in lineage.of_rounds(lineage.locked_outs(self._root), self._params.get("rounds", {})).items():
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
    for title, outs in lineage.of_rounds(lineage.locked_outs(root), rounds).items():
        stage = StageName.of(title)
        if stage == name:
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

    Where a stage came out as before, or DVC restored the last one from its run cache, no process of ours ran last: such
    a pipeline has FINISHED. Others are KILLED. `home` is the repository in which DVC keeps its experiments.
    """
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'", max_results=100):
        process = run.data.tags.get(mlflow_store.PROCESS)
        if not process or not sessions.is_gone(process):
            continue
        experiment = run.data.tags.get("dvc.exp")
        revision = lineage.experiment(home, experiment) if experiment else None
        if SESSION in run.data.tags and _is_whole(store.client, run, home, revision):
            _take_in_the_lock(store, run, home, revision)
            store.client.set_terminated(run.info.run_id, "FINISHED")
        elif not (experiment and revision is None and _is_young(store.client, run)):
            store.client.set_terminated(run.info.run_id, "KILLED")


def _is_whole(client: "MlflowClient", run: "Run", home: Path, revision: str | None) -> bool:
    """Say whether dvc.lock is that of this pipeline: all of its stages that began have finished, the lock has what they
    made, and every stage in it ran with this pipeline's params.
    """
    begun = _stages(run.data.tags)
    if {*begun.values()} != {"finished"}:
        return False
    stages = _listed(lineage.locked(home, revision), run)
    locked = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    for place in begun:
        made = client.get_run(run.data.tags[f"stage.{place}"]).data.tags.get(f"dvc.out.data/{place}")
        if made is None or locked.get(f"data/{place}") != made:
            return False
    read = {dep["path"]: dep["md5"] for dep in stages.get(LAST.title, {}).get("deps", [])}
    own = {path: md5 for path, md5 in read.items() if any(_is_below(f"data/{place}", path) for place in begun)}
    is_here = revision is None and all((home / f"data/{place}").exists() for place in begun)
    if is_here and any(lineage.dvc_md5(home / path) != md5 for path, md5 in own.items()):
        return False  # the last stage read other bytes; what DVC has removed meanwhile is not known
    return LAST.title in stages and all(_has_params(run, stage) for stage in stages.values())


def _has_params(run: "Run", stage: Mapping[str, Any]) -> bool:
    """Say whether a stage of dvc.lock ran with the params of a pipeline's run."""
    params = mlflow_store.as_params(flatten(stage.get("params", {}).get("params.yaml", {})))
    return params.items() <= run.data.params.items()


def _listed(stages: Mapping[str, Any], run: "Run") -> dict[str, Any]:
    """Return those of dvc.lock's stages that a pipeline's params list."""
    return lineage.of_rounds(stages, {name.split(".")[1] for name in run.data.params if name.startswith("rounds.")})


def _stages(tags: Mapping[str, str]) -> dict[str, str]:
    """Return {place: how it ended} of a pipeline's stages that began, from its tags; "" where none says so."""
    places = [tag.removeprefix("stage.") for tag in tags if tag.startswith("stage.") and not tag.endswith(".status")]
    return {place: tags.get(f"stage.{place}.status", "") for place in places}


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _take_in_the_lock(store: Store, run: "Run", home: Path, revision: str | None) -> None:
    """Give a pipeline the metrics of dvc.lock's stages, and figures and page of the run that made the last one."""
    moment, run_id = time.time_ns() // 1_000_000, run.info.run_id
    outs, numbers = _listed(lineage.locked_outs(home, revision), run), dict[str, float]()
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
    runs = [run.data.tags[f"stage.{place}"] for place in _stages(run.data.tags)]
    ends = [client.get_run(run_id).info.end_time or 0 for run_id in runs]
    return bool(ends) and time.time() - max(ends) / 1000 < GRACE
