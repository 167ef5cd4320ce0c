"""Says where an artifact comes from: the run that made it, its data, params and code, and the runs before it.

    python -m tools.where                            every artifact of dvc.lock and its run
    python -m tools.where data/ppo/r1                one artifact, whole
    python -m tools.where data/ppo                   those in a folder, whole if it is one
    python -m tools.where data/sft --rev HEAD~3      as it was at another commit

dvc.lock names the bytes, and MLflow's runs are tagged with the md5 of what they made: so runs are found for outputs
that DVC skipped, restored from its cache or checked out, too. Of several runs with the same bytes the first is shown.
Of an artifact that builds on what people judged, the files of their judgements are named, with lines and labelers, and
of one that builds on what people said in the chat, their journals, with lines and users.
What lies on disk is held against dvc.lock: one artifact by its bytes, a list above 64 MiB by size and number of files.

Writes nothing.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.params.base import ParamsError, is_mapping, load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import lineage, mlflow_store
from rlhf.runtime.flat import flatten
from rlhf.secrets import guard
from tools.looking import artifacts, feedback, labels, piped
from tools.looking.artifacts import Locked, made_by
from tools.looking.makers import PARENT, Found, Makers

if TYPE_CHECKING:
    from mlflow.entities import Run

SHOWN = 3  # of the runs with the same bytes


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Print what is asked for; returns the exit code: 1 where an artifact, its run or the store is not known, 2 for a
    broken params.yaml.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="an output of the pipeline, a file inside one, or a folder around some")
    parser.add_argument("--rev", help="commit, branch or tag whose dvc.lock is read (default: the one on disk)")
    chosen = parser.parse_args(arguments)
    guard.install()
    try:
        makers = Makers(load(root, TrackingInputs).tracking, mlflow_store.anchor(root))
        code, lines = answer(root, makers, chosen.path, chosen.rev)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    except (ValueError, ConnectionError) as error:
        guard.say(str(error))
        return 1
    guard.say("\n".join(lines), sys.stdout)
    return code


def answer(root: Path, makers: Makers, asked: str | None, rev: str | None) -> tuple[int, list[str]]:
    """Return exit code and lines. Raises ValueError where there is no such artifact, ConnectionError without answer."""
    locked = listed(root, rev)
    path = artifacts.inside(root, asked or ".")
    chosen = artifacts.stages_of(root, locked, path)
    doubt = artifacts.check_member(root, locked[chosen[0]], path, rev)
    found = {stage: makers.made(*made_by(locked[stage])) for stage in chosen}
    disk = root if rev is None else None  # what lies there is of now
    known = all(of_stage.runs for of_stage in found.values())
    if asked and len(chosen) == 1:
        said = [*labels.behind(root, locked, chosen[0], rev), *feedback.behind(root, locked, chosen[0], rev)]
        whole = [*described(root, locked, chosen[0], makers, disk), *said]
        return int(not known), [*filter(None, [doubt]), *whole]
    if makers.closed:
        guard.say(makers.closed)
    return int(bool(makers.closed) or (bool(asked) and not known)), [*overview(locked, found, makers, disk)]


def listed(root: Path, rev: str | None) -> dict[str, Locked]:
    """Return the stages of dvc.lock, but for those of rounds that params.yaml lists no longer, which DVC keeps.

    Raises ValueError where there are none.
    """
    rounds = (lineage.content_of(root, "params.yaml", rev) or {}).get("rounds")
    found = lineage.of_rounds(lineage.locked(root, rev), rounds if is_mapping(rounds) else {})
    if not found:
        raise ValueError("dvc.lock: lists no artifact, for no stage has ended yet; run `make run` or `dvc repro` first")
    return found


def overview(
    locked: Mapping[str, Locked], found: Mapping[str, Found], makers: Makers, disk: Path | None
) -> Iterator[str]:
    """Yield one line a stage of `found`: what it made, whether `disk` has it at a glance, when, in which run."""
    width = max(len(made_by(locked[stage])[0]) for stage in found) + 2
    for stage, of_stage in found.items():
        path, md5 = made_by(locked[stage])
        out = next(out for out in locked[stage]["outs"] if out["path"] == path)
        state = artifacts.at_a_glance(disk, out) if disk else ""
        where = "its run is not known" if makers.closed else _first(makers, of_stage)
        yield f"{path:<{width}}{md5[:8]}  {state}{'  ' if state else ''}{where}"


def described(root: Path, locked: Mapping[str, Locked], stage: str, makers: Makers, disk: Path | None) -> Iterator[str]:
    """Yield all that is known of a stage's outputs: of dvc.lock, of `disk` if it is of now, and of the runs."""
    entry = locked[stage]
    data = [dep for dep in entry.get("deps", []) if not dep["path"].startswith(lineage.CODE_FOLDERS)]
    width = max(len(one["path"]) for one in [*entry["outs"], *data]) + 2
    yield f"{stage} made, as dvc.lock has it"
    yield from _outputs(entry, width, makers, disk)
    found = makers.made(*made_by(entry))
    if not found.runs:
        yield f"run   {makers.unknown(found)}"
    for number, run in enumerate(found.runs[:SHOWN]):
        yield f"{'run' if number == 0 else 'again'}   {makers.line(run)}"
        yield from (f"      {line}" for line in of_run(run, entry, makers))
    if len(found.runs) > SHOWN:
        yield f"      and {len(found.runs) - SHOWN} later runs with the same bytes"
    yield "params of dvc.lock"
    yield from (f"  {name}: {value}" for name, value in _params(entry).items())
    yield "data of dvc.lock"
    for dep in data:
        yield f"  {dep['path']:<{width}}{dep['md5']}"
        if not makers.closed:
            yield from upstream(root, locked, dep, makers)
    code = [dep["path"] for dep in entry.get("deps", []) if dep["path"].startswith(lineage.CODE_FOLDERS)]
    yield f"code  {', '.join(code)}, by md5 in dvc.lock; a run's own commit stands with the run"


def _outputs(entry: Locked, width: int, makers: Makers, disk: Path | None) -> Iterator[str]:
    """Yield a stage's outputs, each with what else lies on `disk`, and which run made that."""
    for out in entry["outs"]:
        state = artifacts.on_disk(disk, out) if disk else artifacts.OnDisk("", "")
        yield f"  {out['path']:<{width}}{out['md5']}" + (f"  {state.words}" if state.words else "")
        if state.md5 and out["path"] == made_by(entry)[0]:
            others = makers.made(out["path"], state.md5).runs
            unknown = "    changed since, or made by a run that is not recorded"
            yield f"    made by a run that DVC did not record  {makers.line(others[0])}" if others else unknown


def of_run(run: "Run", entry: Locked, makers: Makers) -> Iterator[str]:
    """Yield what a run's tags and params say of it, params and data where they are not those of dvc.lock's entry."""
    tags = run.data.tags
    changed = tags.get("git.changed", "")
    dirty = f", with changes that were not committed: {changed}" if tags.get("git.dirty") == "true" else ""
    yield f"code {tags.get('mlflow.source.git.commit', 'not in git') or 'not in git'}{dirty}"
    if PARENT in tags:
        pipeline = makers.pipeline(run)
        named = f"{pipeline.info.run_name}  {makers.link(pipeline)}" if pipeline else "its run was deleted in MLflow"
        yield f"pipeline {named}"
    ours = mlflow_store.as_params(_params(entry))
    yield from _differences("had", ours, run.data.params)
    ours = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
    yield from _differences("read", ours, {path: tags.get(mlflow_store.allowed(f"dvc.dep.{path}")) for path in ours})


def _differences(verb: str, ours: Mapping[str, str], own: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in ours.items():
        if own.get(name) not in (value, None):
            yield f"the run itself {verb} {name} {own[name]} (dvc.lock: {value})"


def upstream(root: Path, locked: Mapping[str, Locked], dep: Mapping[str, str], makers: Makers) -> Iterator[str]:
    """Yield the runs that made a dependency: of a folder around outputs of several stages or rounds, each of them."""
    path = dep["path"]
    for maker, entry in locked.items():
        outs = [out for out in entry.get("outs", []) if lineage.overlap(out["path"], path)]
        if not outs:
            continue
        made = made_by(entry)  # of an output that was made anew since, the one that was read is meant
        if any(artifacts.has_other(root, out, dep) for out in outs):
            yield f"    by {maker}, before it made {made[0]} anew; which run it was is not known"
            continue
        found = makers.made(path, dep["md5"]) if made[0] == path else makers.made(*made)
        yield f"    by {maker}  {_first(makers, found)}"


def _first(makers: Makers, found: Found) -> str:
    return makers.line(found.runs[0]) if found.runs else makers.unknown(found)


def _params(entry: Locked) -> dict[str, Any]:
    return {name: value for file in entry.get("params", {}).values() for name, value in flatten(file).items()}


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
