"""What people said in the chat that an artifact builds on: their journals, lines and users, found through dvc.lock."""

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.params.base import is_mapping
from rlhf.people import feedback, journal
from rlhf.runs import lineage
from tools.looking.artifacts import Locked

STAGE = "collect_prompts"


def behind(root: Path, locked: Mapping[str, Locked], stage: str, rev: str | None) -> Iterator[str]:
    """Yield each place of journals that a stage of dvc.lock builds on, through however many others, and its files."""
    entry = locked.get(STAGE)
    outs = [out["path"] for out in locked[stage].get("outs", [])]
    if entry is None or STAGE not in lineage.upstream(locked, outs):
        return
    places = _places(entry)
    if places:
        yield "what people said in the chat that it builds on"
    for place in places:
        dep = next((dep for dep in entry.get("deps", []) if lineage.is_below(place, dep["path"])), None)
        yield f"  {place}  {dep['md5'] if dep else 'not in dvc.lock'}  read by {STAGE}"
        if rev is not None:
            yield "    as it was then is not known: git does not keep what people say in the chat"
        elif not (root / place).exists():
            yield "    not on disk"
        else:
            if dep and lineage.dvc_md5(root / dep["path"]) != dep["md5"]:
                yield "    on disk: other bytes, which are counted here"
            yield from (f"    {_counted(root, file)}" for file in _files(root / place))


def _places(entry: Locked) -> list[str]:
    """Return the folders of patterns, and files by themselves, that a stage's sources of the chat name."""
    section: Any = entry.get("params", {}).get("params.yaml", {}).get(STAGE)
    sources = section.get("sources", []) if is_mapping(section) else []
    paths = [path for one in sources if is_mapping(one) and one.get("kind") == "feedback" for path in one["paths"]]
    found = (os.path.dirname(path) if glob.has_magic(path) else path for path in paths)
    return list(dict.fromkeys(Path(os.path.normpath(path)).as_posix() for path in found))


def _files(place: Path) -> list[Path]:
    """Return the journals: the notes on who is forgotten lie beside them, under a hidden name, and are none."""
    if not place.is_dir():
        return [place]
    return sorted(file for file in place.glob("*.jsonl") if not file.name.startswith("."))


def _counted(root: Path, file: Path) -> str:
    """Return a line on one journal: how many lines, how many of them nobody can read, and whose they are."""
    lines, torn = journal.read(file)
    broken = len(torn) + sum(feedback.problem_in(line.content) is not None for line in lines)
    users = sorted({str(line.content.get("user")) for line in lines})
    not_read = f", {broken} not read" if broken else ""
    path = os.path.relpath(file, root)
    return f"{path}  {len(lines) + len(torn)} lines{not_read}  user {', '.join(users) or 'nobody'}"
