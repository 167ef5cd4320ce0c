"""What DVC's cache says of folders that dvc.lock lists, whatever lies on the disk by now."""

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rlhf.runs import lineage


def listing(root: Path, md5: str) -> dict[str, str] | None:
    """Return {name: md5} of a folder of that md5; None where DVC's cache does not have it."""
    name = Path("files/md5", md5[:2], md5[2:])
    for cache in (lambda: root / ".dvc/cache", lambda: _cache(root)):
        if (cache() / name).is_file():
            return {one["relpath"]: one["md5"] for one in json.loads((cache() / name).read_text(encoding="utf-8"))}
    return None


def md5_of(root: Path, path: str, outs: Mapping[str, str]) -> str | None:
    """Return the md5 that a part of outputs ({path: md5}), or a folder around them, has where they lie as dvc.lock
    lists them; None where DVC's cache lacks one's listing.
    """
    files = dict[str, str]()
    for out, md5 in outs.items():
        names = listing(root, md5) if md5.endswith(".dir") else {"": md5}
        if names is None:
            return None
        files |= {f"{out}/{name}".rstrip("/"): each for name, each in names.items()}
    if path in files:
        return files[path]
    entries = [
        {"md5": md5, "relpath": file.removeprefix(f"{path}/")}
        for file, md5 in sorted(files.items())
        if lineage.is_below(file, path)
    ]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


@functools.cache
def _cache(root: Path) -> Path:
    """Return where DVC keeps its cache, which takes it a second; where there is no DVC, where it would by default."""
    command, outside = [sys.executable, "-m", "dvc", "cache", "dir"], lineage.environment_outside_dvc()
    answer = subprocess.run(command, cwd=root, env=outside, capture_output=True, text=True, check=False)
    return root / (answer.stdout.strip() or ".dvc/cache")
