"""A preset's stages one after another, in a copy of this repository.

    python -m benchmarks.gpu.pipeline PRESET [KEY=VALUE ...]

Keys are dotted places of params.yaml. Tells of each stage as it ends, so that what fits into the time is known.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from benchmarks.gpu import shapes
from rlhf.params.base import read_yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = ("rlhf", "stages", "tools", "examples", "dvc.yaml")  # what a stage reads of a repository, but for its data


def stages_of(root: Path) -> list[tuple[str, ...]]:
    """Return the pipeline's stages in their order, each with its round if it has one; moderation needs no model."""
    written = read_yaml(root / "dvc.yaml")["stages"]
    return [(name, "r1") if "do" in stage else (name,) for name, stage in written.items()]


def main(preset: str, *changes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        copy(root)
        content = read_yaml(ROOT / f"presets/{preset}.yaml")
        for place, _, value in (change.partition("=") for change in changes):
            *sections, key = place.split(".")
            reduce(getitem, sections, content)[key] = _value(value)
        content["tracking"]["enabled"] = False
        (root / "params.yaml").write_text(json.dumps(content), encoding="utf-8")  # which is YAML too
        began = time.perf_counter()
        for number, stage in enumerate(stages_of(root), start=1):
            _run(root, stage)
            done = {"stages": number, "last": " ".join(stage), "seconds": time.perf_counter() - began}
            shapes.tell(f"pipeline/{preset}", **done, of=len(stages_of(root)))


def copy(root: Path) -> None:
    """Copy what stages read into a new folder."""
    root.mkdir()
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root)


def _run(root: Path, stage: tuple[str, ...]) -> None:
    name, *more = stage
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", f"stages.{name}", *more]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{name} failed: {(ended.stdout + ended.stderr)[-1500:]}")


def _value(text: str) -> Any:
    """Return a number, or the text."""
    try:
        return int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main(*sys.argv[1:])
