"""Ends of runs whose process is gone: after kill -9 of a stage or of its recorder, or where DVC had nothing to run."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.runs import lineage, mlflow_store, sessions
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import attempts, endings, pipeline_runs, reused, wholeness
from rlhf.runs.recording.endings import Ending
from rlhf.runs.recording.pipeline_runs import LAST, SESSION, STAGE, stages_of
from rlhf.runs.recording.wholeness import Lock
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import flat_numbers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOME = "dvc.home"  # tag: the repository whose dvc.lock says what became of a run
UNRECORDED = (
    "**The process that records in MLflow ended before its stage did:** the stage finished, but points, results and "
    "models of after that are not here. Its figures are in metrics/."
)
WITHOUT_RUN = (
    f"**{LAST.title} has no run in MLflow:** it finished, but the process that records ended before it, or its run was "
    "deleted. Its figures here are those of metrics/; its texts and pictures are not here."
)
FROZEN_LAST = f"**{LAST.title} is frozen (`dvc freeze`) and did not run:** its figures are not of this pipeline."
NOT_SAVED = (
    "**`dvc` ended without recording {}:** dvc.lock does not have it (a full disk, say, or Ctrl-C while it saved). The "
    "stages ended well, and the figures here are theirs; `dvc repro` runs again what is not recorded."
)
UNSEEN = 600.0  # seconds without a stage after which a pipeline of another host is taken to have ended
GRACE = 60.0  # seconds from an experiment's last stage until DVC has its results


def reap(store: Store, home: Path, lock: Lock | None = None) -> None:
    """Give runs of this repository whose process is gone their end: how, and when, as far as it is known.

    `home` is the repository in which DVC keeps its experiments, and stages note their ends; `lock` what its dvc.lock
    held as those processes ended, if that is known: left out, it is what it holds now.
    """
    running = "attributes.status = 'RUNNING'"
    found = store.client.search_runs([store.experiment_id], running, max_results=100)
    others = {one.experiment_id for one in store.client.search_experiments()} - {store.experiment_id}
    with suppress(ValueError):  # a path that MLflow cannot be asked for
        query = f"{running} and {mlflow_store.equals(f'tags.{HOME}', str(home))}"
        if others:  # tracking.experiment was another
            found = [*found, *store.client.search_runs([*others], query, max_results=100)]
    own = [run for run in found if is_of(home, run.data.tags.get(HOME))]
    ends = endings.read(home)
    gone = [run for run in own if _is_gone(home, run, own, ends)]
    for run in gone:
        if SESSION not in run.data.tags:
            _end_stage(store.client, run, home, ends)
    for run in gone:
        if SESSION in run.data.tags:
            of_its_own = Store(store.client, run.info.experiment_id)
            pipeline = store.client.get_run(run.info.run_id)
            _end_pipeline(of_its_own, pipeline, _lock_of(pipeline, home, lock), ends)


def _is_gone(home: Path, run: "Run", running: Sequence["Run"], ends: Sequence[Ending]) -> bool:
    """Say whether the process of a running run has ended.

    One of another host cannot be seen. But where it noted its beginning in this folder (each container has a name of
    its own, say), its stage has ended once nobody holds that stage's lock, and its pipeline with a stage that was cut
    off so, or a while after the last sign of any.
    """
    tags = run.data.tags
    process = tags.get(mlflow_store.PROCESS, "")
    if sessions.is_gone(process) or not sessions.is_elsewhere(process) or tags.get("dvc.exp"):
        return sessions.is_gone(process)
    if SESSION not in tags:
        own = [ending for ending in ends if ending.process == process]
        return any(ending.status or not sessions.is_held(home, ending.place) for ending in own)
    stages = [one for one in running if one.data.tags.get("mlflow.parentRunId") == run.info.run_id]
    if stages:
        return any(_is_gone(home, stage, running, ends) for stage in stages)
    moments = [ending.moment for ending in ends if ending.session == tags[SESSION]]
    return bool(moments) and time.time() - max(moments) / 1000 > UNSEEN


def _lock_of(pipeline: "Run", home: Path, now: Lock | None) -> Lock:
    """Return the dvc.lock that a pipeline's stages stand in: its experiment's, once DVC has kept that, or this one."""
    experiment = pipeline.data.tags.get("dvc.exp")
    revision = lineage.experiment(home, experiment) if experiment else None
    return Lock.read(home, revision) if revision or now is None else now


def is_of(home: Path, named: str | None) -> bool:
    """Say whether this repository judges a run: its own, or one whose repository is not there any more."""
    return named is None or Path(named) == home or not Path(named).exists()


def _end_stage(client: "MlflowClient", run: "Run", home: Path, ends: Sequence[Ending]) -> None:
    """End a stage's run as its process noted, else as KILLED at the last sign of life; its pipeline hears of it.

    Of one that finished after its recorder had ended, dvc.lock may say what it made.
    """
    tags, process = run.data.tags, run.data.tags[mlflow_store.PROCESS]
    noted = [ending for ending in ends if ending.process == process and ending.status]
    status, moment = (noted[-1].status, noted[-1].moment) if noted else ("killed", attempts.last_sign(run))
    attempts.end(client, run, status.upper(), moment)
    mlflow_store.fail_unfinished_models(client, run)
    name, pipeline = tags.get("dvc.stage"), tags.get("mlflow.parentRunId")
    if not (name and pipeline):
        return
    tag, parent = f"{STAGE}{StageName.of(name).place}", mlflow_store.run_of(client, pipeline)
    if parent is None or parent.info.lifecycle_stage != "active" or parent.data.tags.get(tag) != run.info.run_id:
        return
    client.set_tag(pipeline, f"{tag}.status", status)
    stage = StageName.of(name)
    out = mlflow_store.allowed(f"dvc.out.data/{stage.place}")
    if status == "finished" and out not in tags:
        made = wholeness.proven_output(run, parent, stage, home)
        if made:
            client.set_tag(run.info.run_id, out, made)
        mlflow_store.put_first(client, run, UNRECORDED)


def _end_pipeline(store: Store, run: "Run", lock: Lock, ends: Sequence[Ending]) -> None:
    """End a pipeline's run at the end of its last stage.

    Where a stage came out as before, or DVC restored the last one from its run cache, no process of ours ran last: such
    a pipeline has FINISHED. One is KILLED if a stage was, and else FAILED: by the stage that noted so, or without one
    (its module could not be imported, DVC itself failed).
    """
    own = [ending for ending in ends if ending.session == run.data.tags[SESSION]]
    moment = max([run.info.start_time, *_ends(store.client, run), *(ending.moment for ending in own)])
    is_unkept = run.data.tags.get("dvc.exp") and lock.revision is None
    stages = stages_of(run.data.tags)
    noted = {ending.place: ending.status or "killed" for ending in own}
    broken = {place: status for place, status in noted.items() if status != "finished"}
    if not broken and wholeness.is_whole(store.client, run, lock):
        if LAST.title in wholeness.asked_for(lock.stages, run):
            _take_in_the_lock(store, run, lock)
        pipeline_runs.name_stale(store.client, run.info.run_id, _stale(store, run, lock))
        store.client.set_terminated(run.info.run_id, "FINISHED", end_time=moment)
    elif not broken and stages.get(LAST.place) == "finished":
        store.client.set_terminated(run.info.run_id, "FINISHED", end_time=moment)
    elif not broken and wholeness.is_whole_before_what_is_frozen(store.client, run, lock):
        mlflow_store.put_first(store.client, run, FROZEN_LAST)
        store.client.set_terminated(run.info.run_id, "FINISHED", end_time=moment)
    elif broken or not (is_unkept and stages and time.time() - moment / 1000 < GRACE):
        status = _broken_off(store.client, run, broken, wholeness.is_recorded(store.client, run, lock))
        store.client.set_terminated(run.info.run_id, status, end_time=moment)


def fail_unrecorded(client: "MlflowClient", pipeline: str, paths: Sequence[str]) -> None:
    """Call a pipeline FAILED that has FINISHED, since dvc.lock lacks some of what it made, at these paths."""
    run = client.get_run(pipeline)
    mlflow_store.put_first(client, run, NOT_SAVED.format(", ".join(paths)))
    client.set_terminated(pipeline, "FAILED", end_time=run.info.end_time)


def _broken_off(client: "MlflowClient", run: "Run", broken: Mapping[str, str], is_recorded: bool) -> str:
    """Return how a pipeline ended that is not whole; name on its page what ended it and has no run of its own.

    `broken`: {place: how it ended} of stages that noted no good end. `is_recorded`: dvc.lock has what its stages made.
    """
    stages = stages_of(run.data.tags)
    without_run = {place: status for place, status in broken.items() if place not in stages}
    for place, status in without_run.items():
        client.set_tag(run.info.run_id, f"{STAGE}{place}.status", status)
    lines = [f"**Stage {place} {status} before it had a run in MLflow.**" for place, status in without_run.items()]
    statuses = {*stages.values(), *without_run.values()}
    if statuses == {"finished"}:
        nothing = "and what came next has no run in MLflow."
        unknown = "and whether that was its end is not known: dvc.lock has these stages not as they ran (any more)."
        lines = [f"**`dvc` ended after {', '.join(stages)}**, {nothing if is_recorded else unknown}"]
    mlflow_store.put_first(client, run, *lines)
    return "FAILED" if "failed" in statuses or statuses == {"finished"} else "KILLED"


def _listed_text(lock: Lock, path: str, listed: Mapping[str, str]) -> str | None:
    """Return what a file held that a stage made; None where it lists none, or that is another by now."""
    if path not in listed or lock.revision is not None:
        return lineage.text_of(lock.home, path, lock.revision) if path in listed else None
    file = lock.home / path
    return file.read_text(encoding="utf-8") if file.exists() and lineage.dvc_md5(file) == listed[path] else None


def _ends(client: "MlflowClient", run: "Run") -> list[int]:
    """Return when a pipeline's own stages ended: not those of earlier pipelines, nor one that went on in a later."""
    found = [mlflow_store.run_of(client, run.data.tags[f"{STAGE}{place}"]) for place in stages_of(run.data.tags)]
    own = [one for one in found if one and one.data.tags.get("mlflow.parentRunId") == run.info.run_id]
    return [one.info.end_time for one in own if one.info.end_time]


def _take_in_the_lock(store: Store, run: "Run", lock: Lock) -> None:
    """Give a pipeline the metrics of dvc.lock's stages, and figures and page of the run that made the last one."""
    moment, run_id = time.time_ns() // 1_000_000, run.info.run_id
    outs = {title: lineage.outs_of(stage) for title, stage in wholeness.listed(lock.stages, run).items()}
    numbers: dict[str, float] = {}
    for title, paths in outs.items():
        place = StageName.of(title).place
        text = _listed_text(lock, f"metrics/{place}.json", paths)
        numbers |= mlflow_store.named(flat_numbers(json.loads(text))) if text else {}
    made = mlflow_store.runs_that_made(*store, f"data/{LAST.place}", outs[LAST.title].get(f"data/{LAST.place}"))
    if made:
        own = f"{LAST.stage}."  # its other metrics are those that decide
        numbers |= {name: value for name, value in made[0].data.metrics.items() if not name.startswith(own)}
        store.client.set_tag(run_id, f"{STAGE}{LAST.place}", made[0].info.run_id)
        store.client.set_tag(run_id, f"{STAGE}{LAST.place}.status", "cached")
        mlflow_store.put_first(store.client, run, made[0].data.tags.get(mlflow_store.PAGE, ""))
    else:
        mlflow_store.put_first(store.client, run, WITHOUT_RUN)
    points = [(name, value, moment, 0) for name, value in numbers.items() if name not in run.data.metrics]
    mlflow_store.log_points(store.client, run_id, points)


def _stale(store: Store, run: "Run", lock: Lock) -> reused.Stale:
    """Return what has changed of the stages of dvc.lock that a pipeline reused: what `dvc commit` took in, and of those
    before what `--single-item` named, whatever they ran with.
    """
    changes, unknown = list[str](), list[str]()
    begun, asked = stages_of(run.data.tags), wholeness.asked_for(lock.stages, run)
    for title, stage in wholeness.built_on(lock.stages, run).items():
        place = StageName.of(title).place
        if place in begun:
            continue
        if title not in asked:
            changes += wholeness.differing(run, stage, lock)
        found = reused.taken_in(store, stage, f"data/{place}", lineage.outs_of(stage).get(f"data/{place}"))
        (unknown if found and reused.lacks_a_run(store, lock.home, title) else changes).extend(found)
    return reused.Stale([*dict.fromkeys(changes)], {}, [*dict.fromkeys(unknown)])
