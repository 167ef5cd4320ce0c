"""Lines, tables and texts -> raw rows that know where they stand."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection.bounded import Bound, Line, lines
from rlhf.params.base import listed, shown
from rlhf.records.json_values import is_object, parsed

DELIMITERS = (",", ";", "\t", "|")
EXCELS = re.compile(r'"?sep=(.)"?\r?\n?')  # the line by which Excel is told the delimiter


class Row(NamedTuple):
    """One raw row: its columns, and its place for messages ("data/a.jsonl: line 3")."""

    fields: dict[str, Any]
    where: str


class Form(NamedTuple):
    """How a table is written."""

    delimiter: str
    is_spaced: bool  # "a, b": a cell's quotes may stand behind a blank
    before: int  # lines that are no part of it


def read_jsonl(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a line; blank lines are skipped."""
    return rows_of_lines(lines(path, bound), path)


def rows_of_lines(found: Iterable[Line], path: Path) -> Iterator[Row]:
    """Yield one row for each of some lines of a file; blank lines are skipped."""
    for line in found:
        if line.text.strip():
            where = f"{path}: line {line.number}"
            yield row_of(parsed(line.text, where), where)


def read_csv(path: Path, bound: Bound, usual: str) -> Iterator[Row]:
    """Yield one row a record of a table with a header line; each record has a cell for each column.

    `usual` parts the cells, unless another of DELIMITERS stands more often in the header line, or Excel's first line
    says "sep=;". Cells are text as they stand, "None" and "NA" too; names of columns lose the blanks around them.
    """
    csv.field_size_limit(sys.maxsize)  # Python's limit of 128 KiB a cell is shorter than some documents
    size = 0  # bytes of the record so far: quoted cells hold line ends

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines(path, bound):
            size += line.size
            bound.check(size, f"{path}: line {line.number}")
            yield line.text

    texts = counted()
    first = next(texts, "")
    form = _form(first, usual)
    table = csv.reader(
        chain([] if form.before else [first], texts),
        delimiter=form.delimiter,
        skipinitialspace=form.is_spaced,
        strict=True,
    )
    try:
        header = [name.strip() for name in next(table, list[str]())]
        where = f"{path}: line {form.before + 1}"
        if not header:
            raise ValueError(f"{where}: expected a header line of column names, got nothing")
        check_names(header, where)
        size = 0
        for cells in table:
            size = 0
            where = f"{path}: line {form.before + table.line_num}"
            if cells and len(cells) != len(header):
                raise ValueError(f"{where}: expected {len(header)} cells ({listed(header)}), got {len(cells)}")
            if cells:
                yield Row(dict(zip(header, cells, strict=True)), where)
    except csv.Error as error:
        fix = "a cell that holds quotes stands in quotes itself, with each of them doubled"
        raise ValueError(f"{path}: line {form.before + table.line_num}: not valid CSV: {error}; {fix}") from None


def _form(first: str, usual: str) -> Form:
    """Return what a table's first line tells."""
    said = EXCELS.fullmatch(first)
    if said:
        return Form(said[1], is_spaced=False, before=1)
    bare = re.sub(r'"[^"]*("|$)', "", first)
    delimiter = max(DELIMITERS, key=lambda mark: (bare.count(mark), mark == usual))
    return Form(delimiter, is_spaced=0 < bare.count(delimiter) == bare.count(f"{delimiter} "), before=0)


def check_names(names: Iterable[str], where: str) -> None:
    """Raise ValueError for a column's name that stands twice: one of the two would be lost."""
    for name, count in Counter(names).items():
        if count > 1 and name:
            raise ValueError(f"{where}: {count} columns have the name {shown(name)}; give each its own")


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


def row_of(fields: Any, where: str) -> Row:
    """Return a JSON object as a row. Raises ValueError for another value."""
    if not is_object(fields):
        raise ValueError(f"{where}: expected a JSON object, got {type(fields).__name__}")
    return Row(fields, where)
