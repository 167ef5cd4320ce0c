"""Files of each format -> raw rows that know where they stand."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection.bounded import Bound, lines
from rlhf.collection.json_text import JsonText
from rlhf.params.base import listed
from rlhf.records.json_values import is_object, parsed

AT_A_TIME = 64  # most rows of a Parquet file in memory


class Row(NamedTuple):
    """One raw row: its columns, and its place for messages ("data/a.jsonl: line 3")."""

    fields: dict[str, Any]
    where: str


def read_jsonl(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a line; blank lines are skipped."""
    for line in lines(path, bound):
        if line.text.strip():
            where = f"{path}: line {line.number}"
            yield _row(parsed(line.text, where), where)


def read_json(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield the objects of one JSON list; a file of one object a line is read as JSONL."""
    text = JsonText(path, bound)
    if text.next_character() == "[":
        yield from _of_list(text, path)
        return
    where = f"{path}: record 1"
    value = text.value(where)
    if text.next_character():  # another one
        yield from read_jsonl(path, bound)
    else:
        yield _row(value, where)


def _of_list(text: JsonText, path: Path) -> Iterator[Row]:
    text.take("[")
    number = 0
    while number == 0 or text.next_character() == ",":
        if number:
            text.take(",")
        elif text.next_character() == "]":
            break
        number += 1
        where = f"{path}: record {number}"
        yield _row(text.value(where), where)
    text.take("]")
    if text.next_character():
        text.refuse("Extra data")


def read_csv(path: Path, bound: Bound, delimiter: str) -> Iterator[Row]:
    """Yield one row a record of a table with a header line; each record has a cell for each column."""
    csv.field_size_limit(sys.maxsize)  # Python's limit of 128 KiB a cell is shorter than some documents
    size = 0  # bytes of the record so far: quoted cells hold line ends

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines(path, bound):
            size += line.size
            bound.check(size, f"{path}: line {line.number}")
            yield line.text

    table = csv.reader(counted(), delimiter=delimiter, strict=True)
    try:
        header = next(table, None)
        if not header:
            raise ValueError(f"{path}: line 1: expected a header line of column names, got nothing")
        size = 0
        for cells in table:
            size = 0
            if cells and len(cells) != len(header):
                problem = f"expected {len(header)} cells ({listed(header)}), got {len(cells)}"
                raise ValueError(f"{path}: line {table.line_num}: {problem}")
            if cells:
                yield Row(dict(zip(header, cells, strict=True)), f"{path}: line {table.line_num}")
    except csv.Error as error:
        raise ValueError(f"{path}: line {table.line_num}: not valid CSV: {error}") from None


def read_parquet(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a record of a Parquet file."""
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

    arrow: Any = pyarrow
    tables: Any = parquet
    try:
        with tables.ParquetFile(path) as file:
            number = 0
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_rows_at_a_time(file, group, path, bound), row_groups=[group]):
                    _check_batch(batch, number, path, bound)
                    for fields in batch.to_pylist():
                        number += 1
                        yield Row(fields, f"{path}: row {number}")
    except (arrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from None


def _rows_at_a_time(file: Any, group: int, path: Path, bound: Bound) -> int:
    """Return how many rows of a group to read together, from what it says of itself before any is read."""
    about = file.metadata.row_group(group)
    columns = [about.column(index) for index in range(about.num_columns)]
    # a value that is repeated takes nothing there, and a byte at least once it is unpacked
    size = sum(max(column.total_uncompressed_size, column.num_values) for column in columns)
    mean = size // max(about.num_rows, 1)
    bound.check(mean, f"{path}: a row of row group {group + 1}")
    return max(1, min(AT_A_TIME, bound.size // (mean + 1)))


def _check_batch(batch: Any, before: int, path: Path, bound: Bound) -> None:
    """Raise ValueError for a row that is too long, before it becomes objects of Python."""
    if batch.nbytes > bound.size:
        for index in range(batch.num_rows):
            bound.check(batch.slice(index, 1).nbytes, f"{path}: row {before + index + 1}")


def read_text(path: Path, bound: Bound, separator: str) -> Iterator[Row]:
    """Yield {"text": document} for the documents between lines that hold only `separator`."""
    document, start = bytearray(), 1  # a list of short lines takes many times their size
    for line in lines(path, bound):
        if line.text.strip() == separator:
            yield from _document(document, f"{path}: line {start}")
            document, start = bytearray(), line.number + 1
        else:
            document += line.text.encode()
            bound.check(len(document), f"{path}: line {start}: a document that no line '{separator}' ends")
    yield from _document(document, f"{path}: line {start}")


def _document(content: bytearray, where: str) -> Iterator[Row]:
    text = content.decode().strip()
    if text:
        yield Row({"text": text}, where)


def _row(fields: Any, where: str) -> Row:
    if not is_object(fields):
        raise ValueError(f"{where}: expected a JSON object, got {type(fields).__name__}")
    return Row(fields, where)
