"""Whether dvc.lock is that of a pipeline whose dvc is gone: where DVC ran nothing last, no process of ours says so."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.params.base import mapping_of
from rlhf.runs import cached_listings, dependencies, lineage, mlflow_store
from rlhf.runs.recording.pipeline_runs import ASKED, COMMAND, FROZEN, LAST, STAGE, is_of, stages_of
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import below, flatten
from rlhf.runtime.flat import differing as flat_differing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Locked = Mapping[str, Any]  # stages of dvc.lock by title


class Lock(NamedTuple):
    """What a repository's dvc.lock held: now, or at a commit."""

    stages: Locked
    home: Path
    revision: str | None = None

    @classmethod
    def read(cls, home: Path, revision: str | None = None) -> "Lock":
        """Read it. Raises ValueError where git knows none at `revision`."""
        return cls(lineage.locked(home, revision), home, revision)

    @classmethod
    def of_text(cls, home: Path, text: str) -> "Lock | None":
        """Return what a text of dvc.lock says, "" of none; None for one that is cut, as while it is being written."""
        try:
            return cls(lineage.stages_in(mapping_of(text, "dvc.lock")) if text else {}, home)
        except ValueError:
            return None


FORCED = re.compile(r"(^|\s)(-[a-zA-Z]*f|--force)")  # in a command: an option that runs what has not changed
SINGLE = re.compile(r"(^|\s)(-[a-zA-Z]*s|--single-item)(\s|$)")  # one that leaves the stages before as they are


def listed(stages: Locked, run: "Run") -> dict[str, Any]:
    """Return those of dvc.lock's stages that a pipeline's params list."""
    return lineage.of_rounds(stages, {name.split(".")[1] for name in run.data.params if name.startswith("rounds.")})


def asked_for(stages: Locked, run: "Run") -> dict[str, Any]:
    """Return those of dvc.lock's stages that a pipeline's command asked for, by their names or for what those read;
    none where the lock lacks one of them.
    """
    known = listed(stages, run)
    named = _named(known, run)
    if named and SINGLE.search(run.data.tags.get(COMMAND, "")):
        return {title: stage for title, stage in known.items() if title in named}
    return built_on(stages, run)


def built_on(stages: Locked, run: "Run") -> dict[str, Any]:
    """Return those of dvc.lock's stages that a pipeline's command names, and all before them, whether it brings them up
    to date or not; none where the lock lacks one of those named.
    """
    known = listed(stages, run)
    named = _named(known, run)
    if not named or ASKED not in run.data.tags:
        return known if named else {}
    read = [dep["path"] for title in named for dep in known[title].get("deps", [])]
    return {title: stage for title, stage in known.items() if title in named | lineage.upstream(known, read)}


def _named(stages: Locked, run: "Run") -> set[str]:
    """Return those of dvc.lock's stages that a pipeline's command names, by default the last one; none where the lock
    lacks one of them.
    """
    targets = run.data.tags.get(ASKED, LAST.title).split()
    found = [{title for title in stages if is_of(StageName.of(title).place, target)} for target in targets]
    return {title for titles in found for title in titles} if all(found) else set()


def is_whole(client: "MlflowClient", run: "Run", lock: Lock) -> bool:
    """Say whether a dvc.lock is that of this pipeline, to the last stage that it was asked for: all of its stages that
    began have finished and the lock has what they made; every stage that was asked for is in the lock, and ran with
    this pipeline's params and code, on what the lock says that the stages before it made.
    """
    begun, tags = stages_of(run.data.tags), run.data.tags
    stages = asked_for(lock.stages, run)
    if {*begun.values()} != {"finished"} or not stages:
        return False
    outs = [lineage.outs_of(stage) for stage in listed(lock.stages, run).values()]
    locked = {path: md5 for made in outs for path, md5 in made.items()}
    if not _has_what_they_made(client, run, locked):
        return False
    forced = FORCED.search(tags.get(COMMAND, "")) is not None
    if forced and not {StageName.of(title).place for title in _after(stages, begun) | _named(stages, run)} <= {*begun}:
        return False
    code = dependencies.code_of(tags)
    return all(
        _has_params(run, stage) and _ran(stage, code) and _fits(stage, locked, lock) for stage in stages.values()
    )


def made(client: "MlflowClient", run: "Run") -> dict[str, str]:
    """Return {path: md5} of what the stages that ended well in a pipeline made, as far as it is known."""
    found = dict[str, str]()
    for place in [place for place, status in stages_of(run.data.tags).items() if status == "finished"]:
        stage, out = mlflow_store.run_of(client, run.data.tags[f"{STAGE}{place}"]), f"data/{place}"
        md5 = stage.data.tags.get(mlflow_store.allowed(f"dvc.out.{out}")) if stage else None
        found |= {out: md5} if md5 else {}
    return found


def is_recorded(client: "MlflowClient", run: "Run", lock: Lock) -> bool:
    """Say whether a dvc.lock has the stages that began in this pipeline as they ran in it, whatever else it has."""
    begun = stages_of(run.data.tags)
    stages = [stage for title, stage in lock.stages.items() if StageName.of(title).place in begun]
    locked = {path: md5 for stage in stages for path, md5 in lineage.outs_of(stage).items()}
    code = dependencies.code_of(run.data.tags)
    is_same = all(_has_params(run, stage) and _ran(stage, code) for stage in stages)
    return is_same and _has_what_they_made(client, run, locked)


def is_whole_before_what_is_frozen(client: "MlflowClient", run: "Run", lock: Lock) -> bool:
    """Say whether the stages that began have finished, dvc.lock has what they made, and the last stage is frozen."""
    is_frozen = LAST.stage in run.data.tags.get(FROZEN, "").split(" ")
    finished = {*stages_of(run.data.tags).values()} == {"finished"}
    return is_frozen and finished and is_recorded(client, run, lock)


def _has_what_they_made(client: "MlflowClient", run: "Run", locked: Mapping[str, str]) -> bool:
    """Say whether the md5s of dvc.lock are those of what the stages that began in a pipeline made."""
    for place in stages_of(run.data.tags):
        stage = mlflow_store.run_of(client, run.data.tags[f"{STAGE}{place}"])
        made = stage.data.tags.get(f"dvc.out.data/{place}") if stage else None
        if made is None or locked.get(f"data/{place}") != made:
            return False
    return True


def proven_output(run: "Run", pipeline: "Run", name: StageName, home: Path) -> str | None:
    """Return the md5 of what a stage made whose end nobody recorded, by dvc.lock; None if the lock, or what lies on the
    disk, may be another run's.
    """
    out = f"data/{name.place}"
    stage = lineage.locked(home).get(name.title)
    md5 = lineage.outs_of(stage).get(out) if stage else None
    is_own = stage is not None and not run.data.tags.get("dvc.exp") and _has_params(pipeline, stage)
    return md5 if md5 and is_own and (home / out).exists() and lineage.dvc_md5(home / out) == md5 else None


def _after(stages: Locked, begun: Mapping[str, Any]) -> set[str]:
    """Return the stages that build on those that began (places), and these."""
    first = {title for title in stages if StageName.of(title).place in begun}

    def builds_on(title: str) -> bool:
        return bool(first & lineage.upstream(stages, [dep["path"] for dep in stages[title].get("deps", [])]))

    return first | {title for title in stages if builds_on(title)}


def _has_params(run: "Run", stage: Mapping[str, Any]) -> bool:
    """Say whether a stage of dvc.lock ran with the params of a pipeline's run."""
    params = mlflow_store.as_params(flatten(stage.get("params", {}).get("params.yaml", {})))
    return params.items() <= run.data.params.items()


def _ran(stage: Mapping[str, Any], code: Mapping[str, str]) -> bool:
    """Say whether a stage of dvc.lock ran this code, given as {path: the beginning of its md5}."""
    return not any(_other_code(stage, code))


def _other_code(stage: Mapping[str, Any], code: Mapping[str, str]) -> Iterator[str]:
    for dep in stage.get("deps", []):
        if not dep["md5"].startswith(code.get(dep["path"], "")):
            yield dep["path"]


def differing(run: "Run", stage: Mapping[str, Any], lock: Lock) -> Iterator[str]:
    """Yield the params (dotted), code and data that a stage of dvc.lock ran with, and are others in this pipeline."""
    params = stage.get("params", {}).get("params.yaml", {})
    own = below(run.data.params, [mlflow_store.allowed(name) for name in params])
    yield from flat_differing(mlflow_store.as_params(flatten(params)), own)
    yield from _other_code(stage, dependencies.code_of(run.data.tags))
    made = [lineage.outs_of(one) for one in listed(lock.stages, run).values()]
    others = _other_data(stage, {path: md5 for outs in made for path, md5 in outs.items()}, lock)
    yield from (path for path, md5 in others if md5 is not None)


def _fits(stage: Mapping[str, Any], locked: Mapping[str, str], lock: Lock) -> bool:
    """Say whether a stage read what the lock says that the others made."""
    return not any(_other_data(stage, locked, lock))


def _other_data(stage: Mapping[str, Any], locked: Mapping[str, str], lock: Lock) -> Iterator[tuple[str, str | None]]:
    """Yield what a stage read and the others made otherwise, and their md5; of a commit also what is not known, None.

    Of a part of other stages' outputs, or of a folder around them, DVC's cache says so; where it lacks them the disk
    does, which says nothing of a commit.
    """
    for dep in stage.get("deps", []):
        path, md5 = dep["path"], dep["md5"]
        outs = {out: made for out, made in locked.items() if lineage.overlap(path, out)}
        if not outs:
            continue
        has = locked.get(path) or cached_listings.md5_of(lock.home, path, outs)
        if has is None and lock.revision is None and all((lock.home / one).exists() for one in (path, *outs)):
            has = lineage.dvc_md5(lock.home / path)
        is_unknown = has is None and lock.revision is not None
        if is_unknown or has not in (None, md5):
            yield path, has
