"""Earlier stages that a pipeline built on as they were, although params, code or data have changed since they ran."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rlhf.runs import changes, dependencies, lineage, mlflow_store
from rlhf.runs.mlflow_store import Store
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import below, differing, flatten

SHOWN = 3  # changes that a run's name says


def stages(root: Path, name: StageName, params: Mapping[str, Any], ran: Collection[str]) -> dict[str, Any]:
    """Return dvc.lock's stages before `name`, but for those that `ran` in this pipeline (their places)."""
    if not (root / dependencies.PIPELINE).exists():
        return {}
    _, paths = dependencies.listed(root, name, params)
    locked = lineage.of_rounds(lineage.locked(root), params.get("rounds", {}))
    before = lineage.upstream(locked, [path.relative_to(root).as_posix() for path in paths])
    return {title: locked[title] for title in sorted(before) if StageName.of(title).place not in ran}


def stale(root: Path, reused: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """Return what has changed of reused stages since they ran.

    `dvc repro` brings them up to date, but for `--single-item`, `--downstream`, frozen stages, or a stage by hand.

    Raises ValueError where DVC cannot tell.
    """
    if not reused:
        return []
    own = dict.fromkeys(key for stage in reused.values() for key in _other_params(stage, params))
    return [*own, *changes.changed(root, [*reused], with_params=False)]


def of_other_params(store: Store, reused: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of params that dvc.lock has for reused stages and that no run had which made their bytes:
    `dvc commit` takes in whatever params.yaml says.

    A stage whose runs are not known says nothing.
    """
    found = dict[str, None]()
    for title, stage in reused.items():
        out = f"data/{StageName.of(title).place}"
        md5 = {one["path"]: one["md5"] for one in stage.get("outs", [])}.get(out)
        locked = mlflow_store.as_params(flatten(stage.get("params", {}).get("params.yaml", {})))
        runs = mlflow_store.runs_that_made(*store, out, md5)
        others = [[key for key, value in locked.items() if run.data.params.get(key, value) != value] for run in runs]
        if others and all(others):
            found |= dict.fromkeys(others[0])
    return [*found]


def _other_params(stage: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of those params that a stage of dvc.lock ran with other values of.

    `dvc status` says nothing of a frozen stage, and reads what params.yaml says now, which may be another pipeline's.
    """
    locked = stage.get("params", {}).get("params.yaml", {})
    return [*differing(flatten(locked), below(flatten(params), locked))]


def in_words(found: Collection[str]) -> str:
    """Return a line for the page of a pipeline of which this has changed."""
    return (
        f"**Not all of it was made with these params and this code:** {', '.join(found)} changed after stages ran that "
        "it builds on (`dvc repro --single-item`, a frozen stage, a stage by hand). `dvc repro` makes them anew; what "
        "`dvc commit` took in, only `dvc repro --force` does."
    )
