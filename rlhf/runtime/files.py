"""Writing files so that a reader sees the old bytes or the new ones, never half of either.

Of several processes that compute together, the first writes and the others pass through.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.runtime import distributed


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically: temporary name, fsync, rename. Where it fails, nothing is left."""
    if not distributed.is_first():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON in its given key order; NaN and infinities are errors, not bytes."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error (an old `path` goes then).

    Raises ValueError for a link: what it points to is another's.

    All processes leave the block together, when `path` is there. The block writes by `write_text` or `loading.save`.
    """
    temporary = path.with_name(f".{path.name}.partial")
    if not distributed.is_first():
        yield temporary
        distributed.wait()
        return
    for place in (path, temporary):
        if place.is_symlink():
            raise ValueError(f"{place} is a link to {os.readlink(place)}: remove it (what it points to stays)")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    for file in sorted(temporary.rglob("*")):
        if file.is_file():
            file.chmod(0o644)  # safetensors writes 0600, which shared stores and servers cannot read
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
    if path.exists():
        shutil.rmtree(path)
    os.replace(temporary, path)
    distributed.wait()
