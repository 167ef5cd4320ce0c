"""Reading local files, hub data sets and the embedded world into raw rows that know where they stand."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from rlhf.collection import readers
from rlhf.collection.bounded import bound_of, size_of
from rlhf.collection.readers import Row
from rlhf.params.collect_prompts import AnySource, FileSource, HubSource, Source, WorldSource, matches
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
# What `datasets` raises, beside its own errors, for files that its many readers cannot read.
HUB_FAULTS = (
    OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError, ImportError, EOFError,
    StopIteration, BadZipFile,
)  # fmt: skip
WORLD_PART = 4000  # records of the embedded world that a process makes at a time


def rows(source: AnySource, root: Path, separator: str) -> Iterator[Row]:
    """Yield at most `source.limit` rows. `separator`: the line that ends a document in text files ("": a blank line).

    Raises ValueError naming file, line and column of broken data, FileNotFoundError for a path that names no file.
    """
    if isinstance(source, WorldSource):
        return _world_rows(source)
    found = _hub_rows(source) if isinstance(source, HubSource) else _file_rows(source, root, separator)
    return islice(found, source.limit)


def _file_rows(source: FileSource, root: Path, separator: str) -> Iterator[Row]:
    bound = bound_of(source)
    reader: dict[str, Callable[[Path], Iterator[Row]]] = {
        "jsonl": lambda path: readers.read_jsonl(path, bound),
        "json": lambda path: readers.read_json(path, bound),
        "csv": lambda path: readers.read_csv(path, bound, ","),
        "tsv": lambda path: readers.read_csv(path, bound, "\t"),
        "parquet": lambda path: readers.read_parquet(path, bound),
        "text": lambda path: readers.read_text(path, bound, separator),
    }
    for pattern in source.paths:
        for path in matches(pattern, root):
            name = format_of(path) if source.format == "auto" else source.format
            yield from reader[name](path)


def format_of(path: Path) -> str:
    """Return the format that a file's name tells; raises ValueError for an unknown ending."""
    endings = [ending for ending in path.suffixes if ending != ".gz"]
    if not endings or endings[-1].lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: its ending tells no format ({known}, each also with .gz); set the source's format")
    return FORMATS[endings[-1].lower()]


def _hub_rows(source: HubSource) -> Iterator[Row]:
    place = "/".join(part for part in [source.id, source.subset, source.folder, source.split] if part)
    bound = bound_of(source)
    for row in _numbered(_of_hub(source, place), place):
        bound.check(size_of(row.fields), row.where)
        yield row


def _of_hub(source: HubSource, place: str) -> Iterator[dict[str, Any]]:
    import datasets  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from datasets.exceptions import DatasetsError  # pyright: ignore[reportMissingTypeStubs]

    hub: Any = datasets
    try:
        yield from hub.load_dataset(
            source.id, name=source.subset, data_dir=source.folder, split=source.split, revision=source.revision
        )
    except (*HUB_FAULTS, DatasetsError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        fix = "check id, subset, split and revision, and the connection; or download it and set kind: file"
        problem = f"{type(error).__name__}: {error}{cause}"
        raise ValueError(f"source '{source.name}': {place}: {problem:.600}; {fix}") from error


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
