"""The outputs that dvc.lock lists, by the paths that people type, and whether they are what lies on disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.runs import lineage
from rlhf.runs.cached_listings import listing

Locked = Mapping[str, Any]  # a stage's entry in dvc.lock
Out = Mapping[str, Any]  # one of its outputs

SHOWN = 5  # of the names in a folder
READ = 1 << 26  # bytes of an output up to which a glance reads them: a tenth of a second


class OnDisk(NamedTuple):
    """How an output differs from what lies on disk; both are empty where it does not."""

    words: str
    md5: str  # of other bytes that lie there


def inside(root: Path, path: str) -> str:
    """Return `path` as dvc.lock writes it: relative to `root`. Raises ValueError where it leads out of it."""
    whole, top = Path(os.path.normpath(root.absolute() / path)), root.resolve()
    for place in (whole, *whole.parents):  # links below the root stay: data/ may be one
        if place.resolve() == top:
            return whole.relative_to(place).as_posix()
    raise ValueError(f"{path}: lies outside of {top}")


def stages_of(root: Path, locked: Mapping[str, Locked], path: str) -> list[str]:
    """Return the stages that make `path`, a folder around it or something in it. Raises ValueError where none does."""
    found = []
    for stage, entry in locked.items():
        outs = [out["path"] for out in entry.get("outs", [])]
        if any(_is_below(path, out) or _is_below(out, path) for out in outs):
            found.append(stage)
    if not found and (other := _of_another_file(root, path)):
        raise ValueError(other)
    if not found:
        known = ", ".join(out["path"] for entry in locked.values() for out in entry.get("outs", [])[:1])
        raise ValueError(f"dvc.lock: no stage makes {path!r}; it knows {known}, and their metrics and plots")
    return found


def _of_another_file(root: Path, path: str) -> str | None:
    """Return which stage of another dvc.yaml than the pipeline's makes `path`, in words; None where none does."""
    for lock in sorted(root.glob("*/dvc.lock")):
        may_name_it = Path(path).name in lock.read_text(encoding="utf-8")  # the laboratory's takes seconds to parse
        for name, entry in lineage.locked(lock.parent).items() if may_name_it else ():
            outs = [place / out["path"] for out in entry.get("outs", []) for place in (lock.parent, root)]
            if root / path in outs:  # a path is relative to the stage's wdir
                pipeline = lock.relative_to(root).with_name("dvc.yaml")
                return f"{path}: {pipeline} makes it, by its stage {name}, which records no run: {entry['cmd']}"
    return None


def made_by(entry: Locked) -> tuple[str, str]:
    """Return path and md5 of the stage's data, by which its run is tagged."""
    out = next(out for out in entry["outs"] if out["path"].startswith("data/"))
    return out["path"], out["md5"]


def check_member(root: Path, entry: Locked, path: str, rev: str | None) -> str:
    """Hold a path below an output against what the folder has: on disk if no `rev` is meant, and in DVC's cache.

    Returns what cannot be told, if so. Raises ValueError where there is no such file.
    """
    out = next((out for out in entry["outs"] if path != out["path"] and _is_below(path, out["path"])), None)
    if out is None or (rev is None and (root / path).exists()):
        return ""
    folder, name = out["path"], Path(path).relative_to(out["path"]).as_posix()
    if not out["md5"].endswith(".dir"):
        raise ValueError(f"{path}: {folder} is a file")
    names = listing(root, out["md5"])
    if names is None and rev is None and (root / folder).is_dir():
        files = [file for file in (root / folder).rglob("*") if file.is_file()]
        names = dict.fromkeys((file.relative_to(root / folder).as_posix() for file in files), "")
    if names is None:
        return f"whether {folder} has {name} is not known: DVC's cache here has no listing of it"
    if not any(_is_below(one, name) for one in names):
        more = f", ... ({len(names)} files)" if len(names) > SHOWN else ""
        raise ValueError(f"{path}: {folder} has no {name}; it has {', '.join(sorted(names)[:SHOWN])}{more}")
    return ""


def on_disk(root: Path, out: Out) -> OnDisk:
    """Return how an output differs from what lies on disk."""
    place = root / out["path"]
    if not place.exists():
        return OnDisk("not on disk", "")
    md5 = lineage.dvc_md5(place)
    return OnDisk("", "") if md5 == out["md5"] else OnDisk(f"on disk: other bytes (md5 {md5})", md5)


def at_a_glance(root: Path, out: Out) -> str:
    """Return how an output differs from what lies on disk in size and number of files, which costs no reading; in its
    bytes where they are few: policies of one architecture have one size.
    """
    place = root / out["path"]
    if not place.exists():
        return "not on disk"
    files = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
    sizes = {"size": sum(file.stat().st_size for file in files), "nfiles": len(files)}
    if any(out.get(name, size) != size for name, size in sizes.items()):
        return "on disk: other bytes"
    return on_disk(root, out).md5 and "on disk: other bytes" if sizes["size"] <= READ else ""


def has_other(root: Path, out: Out, dep: Mapping[str, str]) -> bool:
    """Say whether an output's folder is known to have other bytes than a dependency inside it; a folder's are not."""
    if dep["path"] == out["path"] or not _is_below(dep["path"], out["path"]) or dep["md5"].endswith(".dir"):
        return False
    names = listing(root, out["md5"])
    return names is not None and names.get(Path(dep["path"]).relative_to(out["path"]).as_posix()) != dep["md5"]


def _is_below(path: str, folder: str) -> bool:
    return folder == "." or lineage.is_below(path, folder)
