"""Says where an artifact comes from: the run that made it, its data, params and code, and the runs before it.

    python -m tools.where                            every artifact of dvc.lock and its run
    python -m tools.where data/ppo/r1                one artifact, whole
    python -m tools.where data/sft --rev HEAD~3      as it was at another commit

dvc.lock names the bytes, and MLflow's runs are tagged with the md5 of what they made: so runs are found for outputs
that DVC skipped, restored from its cache or checked out, too. Writes nothing.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.params.base import ParamsError, load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import lineage, mlflow_store
from rlhf.runtime.flat import flatten

if TYPE_CHECKING:
    from mlflow.entities import Run

CODE = ("rlhf/", "stages/", "tools/")  # where the deps that are code begin

Locked = Mapping[str, Any]


class Store:
    """The MLflow store of a repository's params, asked for the runs that made outputs."""

    def __init__(self, root: Path):
        settings, home = load(root, TrackingInputs).tracking, mlflow_store.anchor(root)
        self.uri = mlflow_store.resolve_uri(settings.uri, home)
        self.client, self.experiment = mlflow_store.open_store(settings, home)

    def made(self, path: str, md5: str) -> "list[Run]":
        """Return the runs whose output at `path` had these bytes, the first one first."""
        runs = mlflow_store.runs_that_made(self.client, self.experiment, path, md5)
        return [run for run in reversed(runs) if run.info.status == "FINISHED"]

    def link(self, run: "Run") -> str:
        return mlflow_store.link(self.uri, self.experiment, run.info.run_id)


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Print what is asked for; returns the exit code, 1 where an artifact or its run is not known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="an output of the pipeline, or a file inside one")
    parser.add_argument("--rev", help="commit, branch or tag whose dvc.lock is read (default: the one on disk)")
    chosen = parser.parse_args(arguments)
    try:
        locked = listed(root, chosen.rev)
        stage = stage_of(locked, chosen.path.rstrip("/")) if chosen.path else None
        store = Store(root)
    except (ValueError, ConnectionError) as error:
        print(error, file=sys.stderr)
        return 1
    if stage is None:
        print("\n".join(overview(locked, store)))
        return 0
    print("\n".join(described(locked, stage, store)))
    return 0 if store.made(*made_by(locked[stage])) else 1


def listed(root: Path, rev: str | None) -> dict[str, Locked]:
    """Return the stages of dvc.lock, but for those of rounds that params.yaml lists no longer, which DVC keeps."""
    params = lineage.content_of(root, "params.yaml", rev) or {}
    return lineage.of_rounds(lineage.locked(root, rev), params.get("rounds", {}))


def stage_of(locked: Mapping[str, Locked], path: str) -> str:
    """Return the stage that makes `path` or a folder around it. Raises ValueError where none does."""
    for stage, entry in locked.items():
        for out in entry.get("outs", []):
            if path == out["path"] or path.startswith(out["path"] + "/"):
                return stage
    known = ", ".join(out["path"] for entry in locked.values() for out in entry.get("outs", [])[:1])
    raise ValueError(f"dvc.lock: no stage makes {path!r}; it knows {known}, and their metrics and plots")


def made_by(entry: Locked) -> tuple[str, str]:
    """Return path and md5 of the stage's data, by which its run is tagged."""
    out = next(out for out in entry["outs"] if out["path"].startswith("data/"))
    return out["path"], out["md5"]


def overview(locked: Mapping[str, Locked], store: Store) -> Iterator[str]:
    """Yield one line a stage: what it made, when, in which run."""
    for entry in locked.values():
        path, md5 = made_by(entry)
        runs = store.made(path, md5)
        yield f"{path:<28}{md5[:8]}  " + (f"{_when(runs[0])}  {store.link(runs[0])}" if runs else _unknown(store))


def described(locked: Mapping[str, Locked], stage: str, store: Store) -> Iterator[str]:
    """Yield all that is known of a stage's outputs."""
    entry = locked[stage]
    path, md5 = made_by(entry)
    yield f"{stage} made"
    data = [dep for dep in entry.get("deps", []) if not dep["path"].startswith(CODE)]
    width = max(len(one["path"]) for one in [*entry["outs"], *data]) + 2
    yield from (f"  {out['path']:<{width}}{out['md5']}" for out in entry["outs"])
    runs = store.made(path, md5)
    if not runs:
        yield f"run   {_unknown(store)}"
    for number, run in enumerate(runs[:3]):
        tags = run.data.tags
        changed = tags.get("git.changed", "")
        dirty = f", with changes that were not committed: {changed}" if tags.get("git.dirty") == "true" else ""
        yield f"{'run' if number == 0 else 'again'}   {_when(run)}  {store.link(run)}"
        yield f"      code {tags.get('mlflow.source.git.commit', 'not in git') or 'not in git'}{dirty}"
        parent = tags.get("mlflow.parentRunId")
        if parent:
            found = store.client.get_run(parent)
            yield f"      pipeline {found.info.run_name}  {store.link(found)}"
    if len(runs) > 3:
        yield f"      and {len(runs) - 3} later runs with the same bytes"
    yield "params"
    for file in entry.get("params", {}).values():
        yield from (f"  {name}: {value}" for name, value in flatten(file).items())
    yield "data"
    for dep in data:
        yield f"  {dep['path']:<{width}}{dep['md5']}"
        yield from upstream(locked, dep, store)
    code = [dep["path"] for dep in entry.get("deps", []) if dep["path"].startswith(CODE)]
    yield f"code  {', '.join(code)}, by md5 in dvc.lock; see the commit above"


def upstream(locked: Mapping[str, Locked], dep: Mapping[str, str], store: Store) -> Iterator[str]:
    """Yield the runs that made a dependency: of a folder around outputs of several stages or rounds, each of them."""
    path = dep["path"]
    for maker, entry in locked.items():
        outs = [Path(out["path"]) for out in entry.get("outs", [])]
        if any(out.is_relative_to(path) or Path(path).is_relative_to(out) for out in outs):
            made = made_by(entry)  # of an output that was made anew since, the one that was read is meant
            runs = store.made(path, dep["md5"]) if made[0] == path else store.made(*made)
            yield f"    by {maker}  " + (f"{_when(runs[0])}  {store.link(runs[0])}" if runs else _unknown(store))


def _when(run: "Run") -> str:
    return datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _unknown(store: Store) -> str:
    return f"no run with these bytes in {mlflow_store.redacted(store.uri)}"


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except ParamsError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
