"""metrics/study/tuning.csv: a row a trial and seed, each appended whole, so that a kill loses none."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlhf.secrets import guard

FILE = Path("metrics/study/tuning.csv")
LOCK = Path(".study/tuning.csv.lock")
KEY = ("method", "trial", "seed", "change", "params", "inputs", "code")  # a row that has them all is not made again
INTERVALS = ("greedy", "sampled", "vs_sft_greedy", "vs_sft_sampled", "vs_feedme_greedy", "vs_feedme_sampled")
COLUMNS = (
    "method", "trial", "seed", "change", "processor_seconds", "prompts", "too_long", "score", "score_error",
    *(f"{name}{part}" for name in INTERVALS for part in ("", "_low", "_high")),
    "strict_greedy", "chinese_prompts", "chinese_greedy", "chinese_sampled", "kl", "tokens_greedy", "tokens_sampled",
    "reward_model_sampled", "params", "inputs", "code", "commit",
)  # fmt: skip


def read(root: Path) -> list[dict[str, str]]:
    """Return the rows, none where nothing was tried. Raises ValueError for a file of other columns or a broken row."""
    path = root / FILE
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8")
    whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line short
    reader = csv.DictReader(io.StringIO(whole, newline=""), strict=True)
    found = [*reader]
    if whole and tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path}: its columns are not those of now ({', '.join(COLUMNS)}); move it away: git mv")
    for number, row in enumerate(found, start=2):
        if None in row or None in row.values():
            raise ValueError(f"{path}: line {number}: expected {len(COLUMNS)} cells; mend or remove it")
    return found


def key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what says that two rows are of the same trial, made with the same params, artifacts and code."""
    return tuple(str(row[name]) for name in KEY)


def append(root: Path, row: Mapping[str, Any]) -> None:
    """Add a row at the end of the file, by one write that is on the disk when this returns.

    Raises ValueError for a row of other columns; of those of no prompt, such as `chinese_greedy`, cells stay empty.
    """
    strange = [name for name in row if name not in COLUMNS]
    if strange:
        raise ValueError(f"{FILE}: no column {strange[0]}")
    path = root / FILE
    for folder in (path.parent, (root / LOCK).parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCK), open(path, "ab+", buffering=0) as file:
        file.seek(0)
        before = file.read()
        cut = before.rfind(b"\n") + 1
        if cut < len(before):
            guard.say(f"{path}: its last line was cut short by a kill, and is removed: {before[cut:].decode()!r}")
            file.truncate(cut)
        file.write(_line(dict(zip(COLUMNS, COLUMNS, strict=True)) if cut == 0 else None) + _line(row))
        os.fsync(file.fileno())


def _line(row: Mapping[str, Any] | None) -> bytes:
    if row is None:
        return b""
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n").writerow(row)
    return text.getvalue().encode("utf-8")
