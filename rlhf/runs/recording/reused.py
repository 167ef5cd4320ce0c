"""Earlier stages that a pipeline built on as they were, although params, code or data have changed since they ran."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.runs import changes, dependencies, lineage, mlflow_store
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import endings
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import below, differing, flatten

if TYPE_CHECKING:
    from mlflow.entities import Run

READ = "dvc.dep."  # tag of a stage's run: the md5 of what it read there
SHOWN = 3  # changes that a run's name says


def stages(root: Path, name: StageName, params: Mapping[str, Any], ran: Collection[str]) -> dict[str, Any]:
    """Return dvc.lock's stages before `name`, and before those that `ran` in this pipeline (places), but for these.

    `name` need not build on the others: `dvc repro --single-item` runs what it is told, one by one.
    """
    if not (root / dependencies.PIPELINE).exists():
        return {}
    _, paths = dependencies.listed(root, name, params)
    locked = lineage.of_rounds(lineage.locked(root), params.get("rounds", {}))
    read = {lineage.named(root, path) for path in paths}
    own = {title for title in locked if StageName.of(title).place in ran}
    read |= {dep["path"] for title in own for dep in locked[title].get("deps", [])}
    before = lineage.upstream(locked, read) - own
    return {title: locked[title] for title in sorted(before)}


class Stale(NamedTuple):
    """What has changed of reused stages since they ran, and which of them were replaced by hand."""

    changes: list[str]
    replaced: "dict[str, Run | None]"  # {place: the run that made what lies there, if it is known}
    unknown: list[str]  # what may have changed: a run that MLflow does not have may have had it as it is


def stale(store: Store, root: Path, reused: Mapping[str, Any], params: Mapping[str, Any]) -> Stale:
    """Return what has changed of reused stages since they ran.

    `dvc repro` brings them up to date, but for `--single-item`, `--downstream`, frozen stages, or a stage by hand. Of
    other bytes than dvc.lock lists, the params are those of the run that made them.

    Raises ValueError where DVC cannot tell.
    """
    if not reused:
        return Stale([], {}, [])
    others, keys, unknown = changes.changed(root, [*reused], with_params=False), list[str](), list[str]()
    home = mlflow_store.anchor(root)
    replaced = dict[str, "Run | None"]()
    for title, stage in reused.items():
        place = StageName.of(title).place
        out, listed = f"data/{place}", _listed(stage, f"data/{place}")
        here = lineage.dvc_md5(root / out) if out in others and (root / out).exists() else listed
        if here == listed:
            keys += _other_params(stage, params)
            found = taken_in(store, stage, out, listed)
            (unknown if found and lacks_a_run(store, home, title) else keys).extend(found)
            continue
        runs = mlflow_store.runs_that_made(*store, out, here)
        replaced[place] = runs[-1] if runs else None
        own = mlflow_store.as_params(below(flatten(params), stage.get("params", {}).get("params.yaml", {})))
        found = _differing_of_all(own, runs)
        (unknown if found and lacks_a_run(store, home, title) else keys).extend(found)
    return Stale([*dict.fromkeys([*keys, *others])], replaced, [*dict.fromkeys(unknown)])


def lacks_a_run(store: Store, home: Path, title: str) -> bool:
    """Say whether MLflow does not have what a process of this stage made that noted a good end in `home`: tracking was
    off, or its run was deleted, or is in another store. It may have made the bytes of a recorded run with other params.
    """
    place = StageName.of(title).place
    finished = {one.process for one in endings.read(home) if (one.place, one.status) == (place, "finished")}
    if not finished:
        return False
    experiments = [one.experiment_id for one in store.client.search_experiments()]
    runs = store.client.search_runs(experiments, mlflow_store.equals("tags.dvc.stage", title))  # the newest come first
    out = mlflow_store.allowed(f"dvc.out.data/{place}")
    return not finished <= {run.data.tags.get(mlflow_store.PROCESS) for run in runs if out in run.data.tags}


def _listed(stage: Mapping[str, Any], out: str) -> str | None:
    """Return the md5 that a stage of dvc.lock has for an output."""
    return {one["path"]: one["md5"] for one in stage.get("outs", [])}.get(out)


def taken_in(store: Store, stage: Mapping[str, Any], out: str, md5: str | None) -> list[str]:
    """Return which params (dotted), data and code dvc.lock has for a reused stage, and no run had that made its bytes:
    `dvc commit` takes in whatever params.yaml says and lies on the disk.

    A stage whose runs are not known says nothing.
    """
    locked = mlflow_store.as_params(flatten(stage.get("params", {}).get("params.yaml", {})))
    for dep in stage.get("deps", []):
        is_code = dep["path"].startswith(lineage.CODE_FOLDERS)
        locked[mlflow_store.allowed(f"{READ}{dep['path']}")] = dep["md5"][: dependencies.SHORT if is_code else None]
    return _differing_of_all(locked, mlflow_store.runs_that_made(*store, out, md5))


def _differing_of_all(locked: Mapping[str, str], runs: "Sequence[Run]") -> list[str]:
    """Return which params, data and code the newest run had others of; none where a run had all."""
    had = [run.data.params | run.data.tags | _code_read(run) for run in runs]
    others = [[key.removeprefix(READ) for key, value in locked.items() if of.get(key, value) != value] for of in had]
    return others[0] if others and all(others) else []


def _code_read(run: "Run") -> dict[str, str]:
    code = dependencies.code_of(run.data.tags)
    return {mlflow_store.allowed(f"{READ}{path}"): md5 for path, md5 in code.items()}


def _other_params(stage: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of those params that a stage of dvc.lock ran with other values of.

    `dvc status` says nothing of a frozen stage, and reads what params.yaml says now, which may be another pipeline's.
    """
    locked = stage.get("params", {}).get("params.yaml", {})
    return [*differing(flatten(locked), below(flatten(params), locked))]


def unknown_in_words(unknown: Collection[str]) -> str:
    """Return a line for the page of a pipeline of which this may have changed."""
    return (
        "**Whether all of it was made with these params and this code is not known:** the runs of stages that it "
        f"builds on had this otherwise than dvc.lock: {', '.join(unknown)}. But not all that finished here is in "
        "MLflow: tracking was off, or runs were deleted."
    )


def in_words(found: Collection[str]) -> str:
    """Return a line for the page of a pipeline of which this has changed."""
    return (
        f"**Not all of it was made with these params and this code:** {', '.join(found)} changed after stages ran that "
        "it builds on (`dvc repro --single-item`, a frozen stage, a stage by hand). `dvc repro` makes them anew; what "
        "`dvc commit` took in, only `dvc repro --force` does."
    )
