"""Text files read in pieces, packed or not, so that no row takes more memory than its source allows."""

import codecs
from collections.abc import Callable, Iterator
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rlhf.collection.files.packed import BROKEN, Head, head_of, opened
from rlhf.params.collect_prompts import MAX_ROW_MB, TableSource
from rlhf.records.json_values import is_list, is_object

BLOCK = 1 << 16  # bytes


class Bound(NamedTuple):
    """The most bytes of a row, and the source that says so."""

    size: int
    source: str

    def refuse(self, where: str) -> NoReturn:
        """Raise ValueError for a row that is longer."""
        raise ValueError(
            f"{where}: a row of more than {self.size / 1e6:g} MB; part it or leave it out, or raise max_row_mb of the "
            f"source '{self.source}'"
        )

    def check(self, size: int, where: str) -> None:
        """Raise ValueError for a row of more bytes."""
        if size > self.size:
            self.refuse(where)


class Line(NamedTuple):
    number: int
    text: str  # with its newline
    size: int  # in bytes


def bound_of(source: TableSource) -> Bound:
    """Return what a source allows."""
    most = MAX_ROW_MB if source.max_row_mb is None else source.max_row_mb
    return Bound(round(most * 1e6), source.name)


def lines(path: Path, bound: Bound) -> Iterator[Line]:
    """Yield the lines of a file in UTF-8, or in UTF-16 or UTF-32 with its byte order mark.

    They end with a line feed, or with a carriage return where the file begins without line feeds. Raises ValueError
    naming the line that is too long or no UTF-8.
    """
    return (decoded(path, number, raw, bound) for number, raw in raw_lines(path, bound))


def raw_lines(path: Path, bound: Bound) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line in UTF-8) for `decoded`; of a line that is too long, more bytes than it may have."""
    head = head_of(path)
    end = b"\r" if b"\r" in head.start and b"\n" not in head.start else b"\n"
    return _read(path, head, end, bound.size + 1)


def decoded(path: Path, number: int, raw: bytes, bound: Bound) -> Line:
    """Return a line as text. Raises ValueError naming it if it is too long or no UTF-8."""
    bound.check(len(raw), f"{path}: line {number}")
    content = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
    try:
        return Line(number, content.decode("utf-8"), len(raw))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, error.start, error.reason) from None


def blocks(path: Path) -> Iterator[str]:
    """Yield the text of a file as `lines` reads it, in pieces of about BLOCK bytes. Raises ValueError naming what is
    no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, column, gathered, size = 1, 0, list[str](), 0  # column: bytes of the line before this piece
    for number, raw in _read(path, head_of(path), b"\n", BLOCK):
        content = raw.removeprefix(codecs.BOM_UTF8) if number == 1 and column == 0 else raw
        waiting = len(decoder.getstate()[0])
        try:
            gathered.append(decoder.decode(content))
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, column - waiting + error.start, error.reason) from None
        column, size = 0 if raw.endswith(b"\n") else column + len(content), size + len(raw)
        if size >= BLOCK:
            yield "".join(gathered)
            gathered, size = [], 0
    try:
        yield "".join([*gathered, decoder.decode(b"", final=True)])
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, column - len(error.object) + error.start, error.reason) from None


def size_of(fields: dict[str, Any]) -> int:
    """Return about how many bytes the values of a row hold."""
    waiting: list[Any] = [fields]
    size = 0
    while waiting:
        one = waiting.pop()
        if is_list(one):
            waiting += one
        elif is_object(one):
            waiting += one.values()
        size += len(one) if isinstance(one, str | bytes) else 8
    return size


def _not_utf8(path: Path, number: int, start: int, reason: str) -> ValueError:
    return ValueError(f"{path}: line {number}, column {start + 1}: not UTF-8 ({reason}); save it so")


def _read(path: Path, head: Head, end: bytes, most: int) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line in UTF-8), a line of more than `most` bytes in pieces of that many. `end`: of lines."""
    number = 1
    try:
        with opened(path, head.packing) as file:
            read = _reader(file, head, end)
            while raw := read(most):
                yield number, raw
                number += raw.endswith(end)
    except UnicodeDecodeError as error:
        problem = f"not {error.encoding} ({error.reason}); save it as UTF-8"
        raise ValueError(f"{path}: after line {number - 1}: {problem}") from None
    except BROKEN as error:
        if head.packing is None:
            raise
        raise ValueError(f"{path}: after line {number - 1}: broken {head.packing} file: {error}") from None


def _reader(file: BufferedReader, head: Head, end: bytes) -> Callable[[int], bytes]:
    """Return what reads a line, or as many bytes (of another encoding than UTF-8: characters) of it as it is given."""
    if head.encoding == "utf-8" and end == b"\n":
        return file.readline
    errors = "surrogateescape" if head.encoding == "utf-8" else "strict"  # `lines` and `blocks` name what is no UTF-8
    text = TextIOWrapper(file, encoding=head.encoding, errors=errors, newline=end.decode())
    return lambda most: text.readline(most).encode(errors=errors)
