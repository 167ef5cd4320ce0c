"""A source's rows in parts that other processes can work on: lines that are not yet parsed, or rows that are."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rlhf.collection.bounded import Bound, bound_of, decoded, raw_lines
from rlhf.collection.files.json_files import not_by_line
from rlhf.collection.formats.known import Reading
from rlhf.collection.readers import Row, rows_of_lines
from rlhf.collection.sources import format_of, rows_of_file
from rlhf.params.collect_prompts import FileSource, matches

LINES_SIZE = 1 << 20  # bytes of a part
ROWS = 512  # of a part


class Lines(NamedTuple):
    """Lines of a JSONL file that follow one another, as they lie in it."""

    path: Path
    number: int  # of the first
    raw: list[bytes]
    bound: Bound

    def rows(self) -> Iterator[Row]:
        """Yield the rows that they hold. Raises ValueError naming a line that is broken."""
        lines = (decoded(self.path, number, raw, self.bound) for number, raw in enumerate(self.raw, self.number))
        return rows_of_lines(lines, self.path)

    def num_rows(self) -> int:
        """Return how many rows they hold, where none is broken."""
        return sum(map(_is_row, self.raw))

    def size(self) -> int:
        return sum(map(len, self.raw))


class Rows(NamedTuple):
    """Rows that have been read."""

    read: list[Row]

    def rows(self) -> Iterator[Row]:
        return iter(self.read)

    def num_rows(self) -> int:
        return len(self.read)

    def size(self) -> int:
        return 0  # unknown: what lay in the file is not


class Failed(NamedTuple):
    """In place of rows: what was wrong with those that come next."""

    error: Exception

    def rows(self) -> Iterator[Row]:
        raise self.error

    def num_rows(self) -> int:
        return 0

    def size(self) -> int:
        return 0


Part = Lines | Rows | Failed


def parts(reading: Reading, root: Path, separator: str) -> Iterator[Part]:
    """Yield all rows of a source, in order. Raises what reading them raises, behind the rows before it."""
    source = reading.source
    if not isinstance(source, FileSource) or (reading.form and reading.form.join):
        yield from _groups(reading.rows)
        return
    left = source.limit
    for path in (path for pattern in source.paths for path in matches(pattern, root)):
        for part in _of_file(path, source, separator, left):
            left = None if left is None else left - part.num_rows()
            yield part
        if left == 0:
            return


def _of_file(path: Path, source: FileSource, separator: str, most: int | None) -> Iterator[Part]:
    held = format_of(path, source.format)
    if held in ("json", "jsonl") and not_by_line(path, bound_of(source), held == "jsonl") is None:
        return _of_lines(path, bound_of(source), most)
    return _groups(islice(rows_of_file(path, source, separator), most))


def _groups(rows: Iterator[Row]) -> Iterator[Part]:
    group: list[Row] = []
    try:
        for row in rows:
            group.append(row)
            if len(group) == ROWS:
                yield Rows(group)
                group = []
    except (ValueError, OSError):
        yield Rows(group)
        raise
    if group:
        yield Rows(group)


def _of_lines(path: Path, bound: Bound, most: int | None) -> Iterator[Part]:
    part, size, rows = Lines(path, 1, [], bound), 0, 0
    try:
        for number, raw in raw_lines(path, bound):
            part.raw.append(raw)
            size += len(raw)
            rows += most is not None and _is_row(raw)
            ends = len(raw) > bound.size or rows == most  # a line that is too long stands in pieces
            if ends or size >= LINES_SIZE:
                yield part
                part, size = Lines(path, number + 1, [], bound), 0
            if ends:
                return
    except (ValueError, OSError):
        yield part
        raise
    if part.raw:
        yield part


def _is_row(raw: bytes) -> bool:
    """Return whether a line is not blank."""
    return raw.startswith(b"{") or bool(raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip())
