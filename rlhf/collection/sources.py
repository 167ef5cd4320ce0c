"""Reading local files, hub data sets and the embedded world into raw rows that know where they stand."""

import codecs
import csv
import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.collect_prompts import AnySource, FileSource, HubSource, Source, WorldSource, matches
from rlhf.records.json_values import is_list, is_object
from rlhf.records.types import CopyProbe
from rlhf.runtime import processes

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "text",
    ".md": "text",
}
WORLD_PART = 4000  # records of the embedded world that a process makes at a time


class Row(NamedTuple):
    """One raw row: its columns, and its place for messages ("data/a.jsonl: line 3")."""

    fields: dict[str, Any]
    where: str


def rows(source: AnySource, root: Path, separator: str) -> Iterator[Row]:
    """Yield at most `source.limit` rows. `separator`: the line that ends a document in text files ("": a blank line).

    Raises ValueError naming file, line and column of broken data, FileNotFoundError for a path that names no file.
    """
    if isinstance(source, WorldSource):
        return _world_rows(source)
    found = _hub_rows(source) if isinstance(source, HubSource) else _file_rows(source, root, separator)
    return islice(found, source.limit)


def _file_rows(source: FileSource, root: Path, separator: str) -> Iterator[Row]:
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        "jsonl": read_jsonl,
        "json": read_json,
        "csv": lambda path: read_csv(path, ","),
        "tsv": lambda path: read_csv(path, "\t"),
        "parquet": read_parquet,
        "text": lambda path: read_text(path, separator),
    }
    for pattern in source.paths:
        for path in matches(pattern, root):
            name = format_of(path) if source.format == "auto" else source.format
            yield from readers[name](path)


def format_of(path: Path) -> str:
    """Return the format that a file's name tells; raises ValueError for an unknown ending."""
    endings = [ending for ending in path.suffixes if ending != ".gz"]
    if not endings or endings[-1].lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: its ending tells no format ({known}, each also with .gz); set the source's format")
    return FORMATS[endings[-1].lower()]


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yield one row a line; blank lines are skipped."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}, column {error.colno}: not valid JSON: {error.msg}") from None
        yield Row(_object(fields, where), where)


def read_json(path: Path) -> Iterator[Row]:
    """Yield the objects of one JSON list; a file of one object a line is read as JSONL."""
    text = "".join(line for _, line in _lines(path))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from read_jsonl(path)
            return
        raise ValueError(f"{path}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    for number, fields in enumerate(content if is_list(content) else [content], start=1):
        where = f"{path}: record {number}"
        yield Row(_object(fields, where), where)


def read_csv(path: Path, delimiter: str) -> Iterator[Row]:
    """Yield one row a record of a table with a header line; each record has a cell for each column."""
    csv.field_size_limit(sys.maxsize)  # Python's limit of 128 KiB a cell is shorter than some documents
    table = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    try:
        header = next(table, None)
        if not header:
            raise ValueError(f"{path}: line 1: expected a header line of column names, got nothing")
        for cells in table:
            if cells and len(cells) != len(header):
                problem = f"expected {len(header)} cells ({', '.join(header)}), got {len(cells)}"
                raise ValueError(f"{path}: line {table.line_num}: {problem}")
            if cells:
                yield Row(dict(zip(header, cells, strict=True)), f"{path}: line {table.line_num}")
    except csv.Error as error:
        raise ValueError(f"{path}: line {table.line_num}: not valid CSV: {error}") from None


def read_parquet(path: Path) -> Iterator[Row]:
    """Yield one row a record of a Parquet file."""
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]

    arrow: Any = pyarrow
    tables: Any = parquet
    try:
        with tables.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(fields, f"{path}: row {number}")
    except arrow.ArrowException as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from None


def read_text(path: Path, separator: str) -> Iterator[Row]:
    """Yield {"text": document} for the documents between lines that hold only `separator`."""
    document: list[str] = []
    start = 1
    for number, line in _lines(path):
        if line.strip() == separator:
            yield from _document(document, f"{path}: line {start}")
            document, start = [], number + 1
        else:
            document.append(line)
    yield from _document(document, f"{path}: line {start}")


def _document(lines: list[str], where: str) -> Iterator[Row]:
    text = "".join(lines).strip()
    if text:
        yield Row({"text": text}, where)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line with its newline) of a UTF-8 file, gzipped or not."""
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                if number == 1:
                    raw = raw.removeprefix(codecs.BOM_UTF8)
                yield number, raw.decode("utf-8")
    except UnicodeDecodeError as error:
        column = error.start + 1
        raise ValueError(f"{path}: line {number}, column {column}: not UTF-8 ({error.reason}); save it so") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: after line {number}: broken gzip file: {error}") from None


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _object(fields: Any, where: str) -> dict[str, Any]:
    if not is_object(fields):
        raise ValueError(f"{where}: expected a JSON object, got {type(fields).__name__}")
    return fields


def _hub_rows(source: HubSource) -> Iterator[Row]:
    import datasets  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from datasets.exceptions import DatasetsError  # pyright: ignore[reportMissingTypeStubs]

    hub: Any = datasets
    place = "/".join(part for part in [source.id, source.subset, source.folder, source.split] if part)
    try:
        table = hub.load_dataset(
            source.id, name=source.subset, data_dir=source.folder, split=source.split, revision=source.revision
        )
    except (OSError, ValueError, DatasetsError) as error:
        fix = "check id, subset, split and revision, and the connection; or download it and set kind: file"
        raise ValueError(f"source '{source.name}': {place}: {type(error).__name__}: {error}; {fix}") from error
    return _numbered(table, place)


def _world_rows(source: WorldSource) -> Iterator[Row]:
    total = source.documents + source.prompts
    parts = [range(start, min(start + WORLD_PART, total)) for start in range(0, total, WORLD_PART)]
    found = chain.from_iterable(processes.each(partial(_world_part, source), parts))
    return _numbered(found, f"source '{source.name}'")


def _world_part(source: WorldSource, numbers: range) -> list[dict[str, Any]]:
    from rlhf.world.source import records

    return list(records(source.seed, source.documents, source.prompts, source.facts, numbers))


def copy_probes(source: Source) -> list[CopyProbe]:
    """Return a world's {text, expected, type}, texts cut before a word that stands in them; [] for other sources."""
    if not isinstance(source, WorldSource):
        return []
    from rlhf.world.texts.documents import copy_probes as draw

    probes = draw(source.seed, source.copy_probes)
    return [
        CopyProbe(kind="copy_probe", text=text, expected=expected, type=wanted) for text, expected, wanted in probes
    ]


def fingerprint(sources: Iterable[Source]) -> dict[str, str]:
    """Return {"world": sha256 of the embedded world's code} where a source is a world, else {}."""
    if not any(isinstance(source, WorldSource) for source in sources):
        return {}
    from rlhf.world.source import fingerprint as world

    return {"world": world()}


def _numbered(table: Iterable[dict[str, Any]], place: str) -> Iterator[Row]:
    return (Row(fields, f"{place}: row {number}") for number, fields in enumerate(table, start=1))
