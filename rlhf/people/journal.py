"""Files that people's words are kept in: one JSON object a line, only ever appended to.

A line is on the disk before its writer is told so. Whoever is killed in the middle leaves a torn last line at most: the
next writer ends it, and readers name it.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from rlhf.runtime.files import write_text

LOCKS = ".locks"  # folder beside the files, which neither git nor DVC looks into


class Line(NamedTuple):
    """A line of a journal."""

    file: Path
    number: int  # from 1
    content: dict[str, Any]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


class Torn(NamedTuple):
    """A line that holds no JSON object."""

    file: Path
    number: int
    problem: str

    @property
    def words(self) -> str:
        return f"{self.file}:{self.number}: {self.problem}; the line is passed over"


def append(file: Path, record: dict[str, Any]) -> None:
    """Add a record as the last line of a file, which is made with its folder; it is on the disk on return.

    Several processes may append to one file. Raises ValueError for NaN and infinities.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file), open(file, "a+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        if size:
            opened.seek(size - 1)
            line = line if opened.read(1) == b"\n" else b"\n" + line
        opened.write(line)
        opened.flush()
        os.fsync(opened.fileno())


def read(file: Path) -> tuple[list[Line], list[Torn]]:
    """Return the lines of a file, and those that hold no JSON object; a file that is missing has none."""
    if not file.exists():
        return [], []
    lines, torn = list[Line](), list[Torn]()
    for number, raw in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            content = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError:
            torn.append(Torn(file, number, "no UTF-8"))
        except (json.JSONDecodeError, RecursionError) as error:
            torn.append(Torn(file, number, f"no JSON ({error})"))
        else:
            if isinstance(content, dict):
                lines.append(Line(file, number, content))
            else:
                torn.append(Torn(file, number, "no JSON object"))
    return lines, torn


def take_out(file: Path, goes: Callable[[dict[str, Any]], bool]) -> int:
    """Write a file anew without the lines that go, for people who are forgotten: the one way a line leaves a journal.

    Returns how many went. Where none stays, the file goes too. What it is linked to stays as it is.
    """
    with _alone(file), open(file, "r+b") as before:
        raw = before.read()
        is_alone = os.fstat(before.fileno()).st_nlink == 1 and not file.is_symlink()  # no other name, as in DVC's cache
        gone = {line.number for line in read(file)[0] if goes(line.content)}
        if gone:
            kept = [line for number, line in enumerate(raw.split(b"\n"), start=1) if number not in gone and line]
            if kept:
                write_text(file, "".join(f"{line.decode('utf-8', 'replace')}\n" for line in kept))
            else:
                file.unlink()
            if is_alone:  # the old file has no name any more: none of its bytes stay, as far as the disk allows
                before.seek(0)
                before.write(b"\0" * len(raw))
                before.flush()
                os.fsync(before.fileno())
    return len(gone)


def read_folder(folder: Path) -> tuple[list[Line], list[Torn]]:
    """Return the lines of all *.jsonl files of a folder, by file name, and those that hold no JSON object."""
    lines, torn = list[Line](), list[Torn]()
    for file in sorted(folder.glob("*.jsonl")):
        some, bad = read(file)
        lines += some
        torn += bad
    return lines, torn


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    locks = file.parent / LOCKS
    locks.mkdir(exist_ok=True)
    with FileLock(locks / f"{file.name}.lock", timeout=30):
        yield
