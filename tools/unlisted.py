"""What rounds have made that params.yaml no longer lists: removed where it comes back, else refused.

`evaluate` depends on the folders of all rounds. A round too many there is an input too many, for which DVC finds no
earlier outputs in its run cache. DVC itself forgets the outputs of a stage that dvc.yaml no longer has.
"""

import json
import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.runs import lineage
from tools import dvc_yaml

PIPELINE = Path("dvc.yaml")
KEY = "${key}"  # stands in dvc.yaml for a round's name

LeftBehind = Mapping[str, list[str]]  # {round: its outputs that are there, from the root}


def left_behind(params: Any, root: Path) -> LeftBehind:
    """Return the outputs of rounds that params do not list; none without a dvc.yaml."""
    templates = [Path(path) for path in _outputs_of_a_round(root)]
    listed = {template.with_name(template.name.replace(KEY, name)) for template in templates for name in params.rounds}
    found: dict[Path, str] = {}
    for template in templates:
        before, after = template.name.split(KEY)
        for path in (root / template.parent).glob(f"{before}[!.]*{after}"):
            place, name = path.relative_to(root), path.name[len(before) : len(path.name) - len(after)]
            if place not in listed and (after or path.is_dir()):  # r2_calibration.csv is of r2: the shorter name
                found[place] = min(name, found.get(place, name), key=len)
    rounds: dict[str, list[str]] = defaultdict(list)
    for place in sorted(found):
        rounds[found[place]].append(place.as_posix())
    return rounds


def mistakes(left: LeftBehind, root: Path) -> Iterator[str]:
    """Yield a line for each output that would be lost: neither DVC nor git keeps its bytes."""
    for name, paths in left.items():
        for path in paths:
            if not _comes_back(path, root):
                yield (
                    f"{path}: params.yaml lists no round '{name}', and neither DVC's cache nor git has these bytes; "
                    f"remove it with: rm -r {shlex.quote(path)}, or add the round to params.yaml"
                )


def remove(left: LeftBehind, root: Path) -> Iterator[str]:
    """Remove all of it, and yield a line a round on what went and how it comes back."""
    for name, paths in left.items():
        for path in paths:
            is_folder = (root / path).is_dir() and not (
                root / path
            ).is_symlink()  # a link goes, what it points to stays
            shutil.rmtree(root / path) if is_folder else (root / path).unlink()
        yield (
            f"round {name}: params.yaml no longer lists it; removed {_in_words(paths)}. "
            "With the round in params.yaml again, dvc repro brings them back"
        )


def _outputs_of_a_round(root: Path) -> Iterator[str]:
    """Yield the outputs in dvc.yaml whose names hold a round's."""
    if not (root / PIPELINE).exists():
        return
    pipeline = dvc_yaml.read(root / PIPELINE)
    for stage in pipeline["stages"]:
        entry = dvc_yaml.definition(pipeline, stage)
        for out in [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]:
            path = out if isinstance(out, str) else next(iter(out))
            if KEY in path:
                yield path


def _comes_back(path: str, root: Path) -> bool:
    """Return whether DVC's cache or git has a path's bytes, or dvc.lock says that a stage made these metrics."""
    md5 = lineage.dvc_md5(root / path)
    if path.startswith("metrics/"):
        made = any(outs.get(path) == md5 for outs in lineage.locked_outs(root).values())
        return made or _committed(path, root)
    return _cached(md5, root)


def _committed(path: str, root: Path) -> bool:
    """Return whether git has a file, and as it is here."""
    known = lineage.git(root, "ls-files", "--", path)
    return bool(known) and lineage.git(root, "diff", "--quiet", "HEAD", "--", path) is not None


def _cached(md5: str, root: Path) -> bool:
    """Return whether DVC's cache has a folder whole."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        listing = Path(cache.oid_to_path(md5))
        if not listing.exists():
            return False
        entries = json.loads(listing.read_text(encoding="utf-8"))
        return all(Path(cache.oid_to_path(entry["md5"])).exists() for entry in entries)


def _in_words(paths: list[str]) -> str:
    folders = [path for path in paths if path.startswith("data/")]
    more = len(paths) - len(folders)
    words = [*folders, *([f"{more} files below metrics/"] if more else [])]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[:-1] else words)
