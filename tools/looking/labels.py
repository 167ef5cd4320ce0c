"""The judgements of people that an artifact builds on: their files, lines and labelers, found through dvc.lock."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.params.base import is_mapping
from rlhf.people import judgements
from rlhf.runs import lineage
from rlhf.runs.stage_name import StageName
from tools.looking.artifacts import Locked

STAGE = "collect_comparisons"


def behind(root: Path, locked: Mapping[str, Locked], stage: str, rev: str | None) -> Iterator[str]:
    """Yield each folder of labels that a stage of dvc.lock builds on, through however many others, and its files."""
    outs = [out["path"] for out in locked[stage].get("outs", [])]
    before = lineage.upstream(locked, outs)
    folders = [(title, folder) for title in locked if title in before for folder in _folders(title, locked[title])]
    if folders:
        yield "judgements of people that it builds on"
    for title, folder in folders:
        md5 = next((dep["md5"] for dep in locked[title].get("deps", []) if dep["path"] == folder), "not in dvc.lock")
        yield f"  {folder}  {md5}  read by {title}"
        yield from (f"    {line}" for line in _files(root, folder, md5, rev))


def _folders(title: str, entry: Locked) -> list[str]:
    """Return the folders of labels that a stage's params name, for its round."""
    name = StageName.of(title)
    params: Any = entry.get("params", {}).get("params.yaml", {}).get(STAGE)
    if name.stage != STAGE or name.round_name is None or not is_mapping(params):
        return []
    named = [params.get(key) for key in ("labelers", "judge_labelers")]
    people = [one for one in named if is_mapping(one) and one.get("kind") == "people"]
    return list(dict.fromkeys(Path(os.path.normpath(one["folder"]), name.round_name).as_posix() for one in people))


def _files(root: Path, folder: str, md5: str, rev: str | None) -> Iterator[str]:
    """Yield a line on each labeler's file, as it is at a commit, or on disk; there also how many judgements hold."""
    if rev is not None:
        listed = lineage.git(root, "ls-tree", "-r", "--name-only", rev, "--", folder) or ""
        for path in (path for path in listed.splitlines() if path.endswith(".jsonl")):
            num_lines = len((lineage.text_of(root, path, rev) or "").splitlines())
            yield f"{path}  {num_lines} lines  labeler {Path(path).stem}"
        return
    if not (root / folder).is_dir():
        yield "not on disk"
        return
    if lineage.dvc_md5(root / folder) != md5:
        yield "on disk: other bytes, which are counted here; git has those of then, if they were committed"
    read = judgements.read((root / folder).parent, Path(folder).name)
    holding = judgements.current(read)
    for file in sorted((root / folder).glob("*.jsonl")):
        own = [sum(one.file == file for one in lines) for lines in (read.lines, holding)]
        num_lines = len([line for line in file.read_bytes().split(b"\n") if line.strip()])
        torn = f", {num_lines - own[0]} not read" if num_lines > own[0] else ""
        yield f"{folder}/{file.name}  {num_lines} lines{torn}, {own[1]} judgements that hold  labeler {file.stem}"
