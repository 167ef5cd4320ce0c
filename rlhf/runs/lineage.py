"""Who made which bytes: md5 sums as DVC computes them, dvc.lock, and the commit."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import is_mapping, mapping_of, read_yaml
from rlhf.runs.stage_name import StageName

CHUNK = 1 << 20  # bytes
CODE_FOLDERS = ("rlhf/", "stages/", "tools/")  # where those of a stage's deps begin that are code
IGNORED = {"__pycache__", ".locks"}  # by .dvcignore; its other names are not in what a run makes or reads
CODE = (".py", ".yaml")  # ends of files that a run may depend on, in git or not


class Commit(NamedTuple):
    """The git commit of a working tree; `sha` is empty outside git or before the first commit."""

    sha: str
    changed: list[str]  # files that a run may depend on and that differ from it, or that it lacks


def dvc_md5(path: Path) -> str:
    """Return the md5 that dvc.lock shows for a file, or for a folder (which ends in `.dir`)."""
    if path.is_file():
        return _file_md5(path)
    entries = [
        {"md5": _file_md5(file), "relpath": file.relative_to(path).as_posix()}
        for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).as_posix())
        if file.is_file() and not IGNORED & {*file.relative_to(path).parts}
    ]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def named(root: Path, path: Path) -> str:
    """Return the path as DVC names it: from the project's root, or whole where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def size_mb(path: Path) -> float:
    """Return the size of a file or folder in megabytes (10^6 bytes)."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def locked(root: Path, rev: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the stages in dvc.lock by name, at commit `rev` if it is given; empty before DVC's first run.

    Raises ValueError where git knows no dvc.lock at `rev`.
    """
    if rev is None and not (root / "dvc.lock").exists():
        return {}
    content = read_yaml(root / "dvc.lock") if rev is None else content_of(root, "dvc.lock", rev)
    if content is None:
        raise ValueError(f"git knows no dvc.lock at {rev!r}; name a commit that has one: git log -- dvc.lock")
    return stages_in(content)


def stages_in(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the stages of what a dvc.lock holds. Raises ValueError where it has none as DVC writes them."""
    stages = content.get("stages")
    if not is_mapping(stages) or not all(map(is_mapping, stages.values())):
        raise ValueError("dvc.lock: expected a mapping of stages, as DVC writes it; git checkout -- dvc.lock")
    return dict(stages)


def of_rounds(stages: Mapping[str, Any], rounds: Collection[str]) -> dict[str, Any]:
    """Return those of dvc.lock's stages that run once, or in one of these rounds: DVC keeps entries of rounds that are
    gone.
    """
    return {title: stage for title, stage in stages.items() if StageName.of(title).round_name in {None, *rounds}}


def locked_outs(root: Path, rev: str | None = None) -> dict[str, dict[str, str]]:
    """Return {stage: {path: md5}} of the outs in dvc.lock, as `locked` reads it."""
    return {name: outs_of(stage) for name, stage in locked(root, rev).items()}


def outs_of(stage: Mapping[str, Any]) -> dict[str, str]:
    """Return {path: md5} of the outs of a stage of dvc.lock."""
    return {out["path"]: out["md5"] for out in stage.get("outs", [])}


def upstream(stages: Mapping[str, Any], paths: Collection[str]) -> set[str]:
    """Return those of dvc.lock's stages that made what lies at, below or around `paths`, and the stages before them."""
    found, wanted = set[str](), {*paths}
    while wanted:
        made = {
            title
            for title, stage in stages.items()
            if any(overlap(out["path"], path) for out in stage.get("outs", []) for path in wanted)
        } - found
        found |= made
        wanted = {dep["path"] for title in made for dep in stages[title].get("deps", [])}
    return found


def is_below(path: str, folder: str) -> bool:
    """Say whether a path of dvc.lock is this folder or leads into it."""
    return path == folder or path.startswith(f"{folder}/")


def overlap(one: str, other: str) -> bool:
    """Say whether one of two paths of dvc.lock is the other or leads into it."""
    return is_below(one, other) or is_below(other, one)


def experiment(root: Path, name: str) -> str | None:
    """Return the commit in which DVC keeps an experiment's results; None before it does."""
    newest = ["--sort=-committerdate", "--count=1"]  # one name may stand for an experiment on each of several commits
    return (git(root, "for-each-ref", *newest, "--format=%(objectname)", f"refs/exps/**/{name}") or "").strip() or None


def text_of(root: Path, path: str, rev: str | None = None) -> str | None:
    """Return the content of a file below `root`, at commit `rev` if it is given; None where it is not there."""
    if rev is not None:
        return git(root, "show", f"{rev}:./{path}")
    return (root / path).read_text(encoding="utf-8") if (root / path).exists() else None


def content_of(root: Path, path: str, rev: str | None = None) -> Any:
    """Return what a YAML file below `root` holds, at commit `rev` if it is given; None where it is not there.

    Raises ParamsError for one that holds no mapping.
    """
    text = text_of(root, path, rev)
    return None if text is None else mapping_of(text, path if rev is None else f"{path} at {rev}")


def way_back(root: Path, name: str) -> str | None:
    """Return how to get the outputs of stage `name` back that DVC removed before it ran; None if there were none.

    DVC restores what lies in its cache, or in a remote; metrics and plots are kept by git alone.
    """
    gone = {path: md5 for path, md5 in locked_outs(root).get(name, {}).items() if not (root / path).exists()}
    if not gone:
        return None
    metrics = [path for path in gone if path.startswith("metrics/")]
    in_git = [path for path in metrics if _is_in_index(root, path, gone[path])]
    cache = root / _dvc(root, "cache", "dir") / "files/md5"
    absent = [path for path in gone.keys() - {*metrics} if not (cache / gone[path][:2] / gone[path][2:]).exists()]
    if absent and not _dvc(root, "remote", "list"):
        return f"{name}: its previous {absent[0]} is not in DVC's cache here, so it does not come back; it is made anew"
    command = f"dvc {'pull' if absent else 'checkout'} {name}"
    command += f" && git checkout -- {' '.join(in_git)}" if in_git else ""
    lost = [path for path in metrics if path not in in_git]
    if lost:
        command += (
            f"; git has not these bytes of {', '.join(lost)}: `dvc repro` with the params of then brings them back"
        )
    return f"{name}: its previous outputs come back with: {command}"


def _is_in_index(root: Path, path: str, md5: str) -> bool:
    """Say whether `git checkout -- path` brings back a file of that md5."""
    text = git(root, "show", f":./{path}")
    return text is not None and hashlib.md5(text.encode()).hexdigest() == md5


def environment_outside_dvc() -> dict[str, str]:
    """Return this process's environment, for a dvc command that is not of the stage that calls it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}


def _dvc(root: Path, *words: str) -> str:
    """Return what a dvc command prints; nothing where it fails."""
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()


def commit_of(root: Path) -> Commit:
    """Return the commit checked out at `root`, and what differs from it but the pipeline's own outputs and dvc.lock.

    DVC removes a stage's outputs, metrics in git among them, before the stage can look. Files that git does not know
    count where they are code.
    """
    head = git(root, "rev-parse", "HEAD")
    if head is None:
        return Commit("", [])
    made = {path for outs in locked_outs(root).values() for path in outs}
    answer = git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z", ".") or ""
    prefix = (git(root, "rev-parse", "--show-prefix") or "").strip()
    changed = []
    for entry in filter(None, answer.split("\0")):
        state, path = entry[:2], entry[3:].removeprefix(prefix)
        if path not in made and Path(path).name != "dvc.lock" and (state != "??" or path.endswith(CODE)):
            changed.append(path)
    return Commit(head.strip(), sorted(changed))


def _file_md5(path: Path) -> str:
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def git(root: Path, *arguments: str) -> str | None:
    """Return what a git command prints; None where it fails."""
    answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None
