"""Earlier stages that a pipeline built on as they were, although params, code or data have changed since they ran."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rlhf.runs import changes, dependencies, lineage
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import below, differing, flatten

SHOWN = 3  # changes that a run's name says


def stale(root: Path, name: StageName, params: Mapping[str, Any], ran: Collection[str]) -> list[str]:
    """Return what has changed of the stages before `name`, but for those that `ran` in this pipeline (their places).

    `dvc repro` brings them up to date, but for `--single-item`, `--downstream`, frozen stages, or a stage by hand.

    Raises ValueError where DVC cannot tell.
    """
    if not (root / dependencies.PIPELINE).exists():
        return []
    _, paths = dependencies.listed(root, name, params)
    stages = lineage.of_rounds(lineage.locked(root), params.get("rounds", {}))
    before = lineage.upstream(stages, [path.relative_to(root).as_posix() for path in paths])
    reused = sorted(title for title in before if StageName.of(title).place not in ran)
    if not reused:
        return []
    own = dict.fromkeys(key for title in reused for key in _other_params(stages[title], params))
    return [*own, *changes.changed(root, reused, with_params=False)]


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
        "it builds on (`dvc repro --single-item`, a frozen stage, or a stage by hand). `dvc repro` makes them anew."
    )
