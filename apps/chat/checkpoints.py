"""The policies below data/ that can be talked with, and which bytes they are."""

from pathlib import Path
from typing import NamedTuple

from rlhf.runs import lineage

SINGLE = {  # name: folder below data/
    "base": "pretrain", "sft": "sft", "feedme": "feedme", "rejection": "rejection", "dpo": "dpo",
}  # fmt: skip
CONFIGS = ("config.json", "adapter_config.json")


class Checkpoint(NamedTuple):
    """A policy's folder."""

    name: str  # base, sft, feedme, rejection, dpo, ppo/r1
    path: str  # below the repository, as dvc.lock names it


def found(root: Path) -> list[Checkpoint]:
    """Return the policies that exist, in the order of the recipe; PPO's by the names of their rounds."""
    rounds = sorted(folder.name for folder in (root / "data/ppo").glob("*/") if not folder.name.startswith("."))
    folders = SINGLE | {f"ppo/{name}": f"ppo/{name}" for name in rounds}
    known = [Checkpoint(name, f"data/{folder}") for name, folder in folders.items()]
    return [one for one in known if any((root / one.path / config).is_file() for config in CONFIGS)]


def locked(root: Path) -> dict[str, str]:
    """Return {path: md5} of what dvc.lock says of outputs."""
    return {path: md5 for outs in lineage.locked_outs(root).values() for path, md5 in outs.items()}


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a folder's files do, without reading them."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return tuple((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


class Sums:
    """The md5 sums of checkpoints, as DVC computes them, computed once as long as no file changes."""

    def __init__(self, root: Path):
        self._root = root
        self._known: dict[str, tuple[object, str]] = {}

    def of(self, checkpoint: Checkpoint) -> str:
        """Return the md5 of the bytes that lie there now: dvc.lock may speak of others."""
        folder = self._root / checkpoint.path
        now = signature(folder)
        before = self._known.get(checkpoint.path)
        if before is None or before[0] != now:
            before = self._known[checkpoint.path] = (now, lineage.dvc_md5(folder))
        return before[1]
