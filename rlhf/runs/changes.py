"""What has changed since the pipeline's outputs were made, as `dvc status` sees it: whether its figures are of now."""

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.params.base import read_yaml
from rlhf.runs import lineage
from rlhf.runtime.flat import below, differing, flatten

SHOWN = 4  # of the changes named in one line
ABSENT = ("deleted", "not in cache")  # data that is not here is no change: a fresh clone has none
METRICS = "metrics/"  # these are in git: they are absent where a stage began, or is new, and has not ended


def in_a_line(root: Path, figures: Collection[str]) -> str | None:
    """Return a line that says what separates the figures in metrics/ from this params.yaml and code; None if nothing.

    `figures` are the files that they come from. Where these are not what dvc.lock lists, its changes are not theirs.
    Without a dvc.lock there is nothing to compare with: None.
    """
    if not (root / "dvc.lock").exists():
        return None
    try:
        answer = _status(root, ["dvc.yaml"])
    except ValueError as error:
        return f"Whether these figures belong to this params.yaml and code is not known. {error}"
    found = _listed(root, answer, with_params=True)
    if not found:
        return None
    own = [path for path in found if path in figures]
    others = [path for path in found if path not in figures]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    shown = f"{', '.join(others[:SHOWN])}{more}"
    what = f"These figures are of an earlier run; changed since: {shown}"
    if not own and _only_what_lies_here(answer):
        return (
            f"These figures are those that dvc.lock lists, but the data on disk is not: {shown} (`dvc checkout` brings "
            "back what is listed, `dvc repro` makes it anew)"
        )
    if own:
        and_others = f"; {shown} changed too" if others else ""
        what = (
            f"These figures are not those that dvc.lock lists: {', '.join(own)} was edited, or made by a run that DVC "
            f"did not record{and_others}"
        )
    return f"{what} (`dvc status dvc.yaml` lists what, `dvc repro` makes new ones)"


def changed(root: Path, targets: Sequence[str] = ("dvc.yaml",), with_params: bool = True) -> list[str]:
    """Return what differs from dvc.lock: params by their dotted names, stages without metrics, files and commands; each
    once. `targets`: the stages that are asked about, by default those of the pipeline.
    `with_params`: without, what params.yaml says now is left aside.

    Raises ValueError with DVC's words where it cannot tell.
    """
    return _listed(root, _status(root, targets), with_params)


def _status(root: Path, targets: Sequence[str]) -> dict[str, list[Any]]:
    """Return what `dvc status` says of each stage that is not up to date. Raises ValueError with its words."""
    command = [sys.executable, "-m", "dvc", "status", "--json", *targets]
    outside = lineage.environment_outside_dvc()
    answer = subprocess.run(command, cwd=root, env=outside, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ValueError(f"dvc status: {answer.stderr.strip() or f'exit code {answer.returncode}'}")
    return json.loads(answer.stdout)


def _listed(root: Path, answer: Mapping[str, list[Any]], with_params: bool) -> list[str]:
    """Return what an answer of `dvc status` names, see `changed`."""
    params, open_stages, others = [], [], []
    for name, entries in answer.items():
        for entry in entries:
            if isinstance(entry, str):  # "changed command"
                others.append(f"{entry.removeprefix('changed ')} of {name}")
                continue
            for path, state in (pair for paths in entry.values() for pair in paths.items()):
                if isinstance(state, Mapping) and not with_params:
                    continue
                if isinstance(state, Mapping):
                    params += _leaves(root, name, path, state)
                elif state not in ABSENT:
                    others.append(path)
                elif path.startswith(METRICS) and "changed outs" in entry:
                    open_stages.append(f"{name} has not ended")
    return list(dict.fromkeys([*params, *open_stages, *others]))


def _only_what_lies_here(answer: Mapping[str, list[Any]]) -> bool:
    """Say whether an answer of `dvc status` is of data alone that is not what dvc.lock lists, and of stages that would
    read it: after `git checkout` without `dvc checkout`, say. What the lock and metrics/ have is whole then.
    """
    outs, deps = list[str](), list[str]()
    for entry in (entry for entries in answer.values() for entry in entries):
        if isinstance(entry, str):
            return False
        for path, state in entry.get("changed outs", {}).items():
            if path.startswith(METRICS):
                return False
            outs += [] if state in ABSENT else [path]
        for path, state in entry.get("changed deps", {}).items():
            if isinstance(state, Mapping):
                return False
            deps += [] if state in ABSENT else [path]
    return bool(outs) and all(any(lineage.overlap(path, out) for out in outs) for path in deps)


def _leaves(root: Path, stage: str, file: str, sections: Mapping[str, str]) -> Iterator[str]:
    """Yield the dotted names whose values in a params file differ from those that dvc.lock has for the stage."""
    before = lineage.locked(root).get(stage, {}).get("params", {}).get(file, {})
    now = flatten(read_yaml(root / file))
    for section in sections:
        old = flatten({section: before[section]}) if section in before else {}
        yield from differing(old, below(now, [section])) if old else [section]
