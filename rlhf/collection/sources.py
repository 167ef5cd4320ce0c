"""Reading local files, hub data sets and the embedded world into raw rows that know where they stand."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

from rlhf.collection import feedback
from rlhf.collection.bounded import bound_of, size_of
from rlhf.collection.files.arrow_files import read_arrow, read_parquet
from rlhf.collection.files.json_files import read_json
from rlhf.collection.files.packed import ENDINGS, head_of
from rlhf.collection.readers import Row, read_csv, read_text
from rlhf.params.collect_prompts import (
    AnySource,
    FeedbackSource,
    FileFormat,
    FileSource,
    HubSource,
    InstructionsSource,
    Source,
    WorldSource,
    is_saved,
    matches,
    unread_splits,
)
from rlhf.records.types import CopyProbe
from rlhf.runtime import processes

FORMATS: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".md": "text",
}
# What `datasets` raises, beside its own errors, for files that its many readers cannot read.
HUB_FAULTS = (
    OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError, ImportError, EOFError,
    StopIteration, BadZipFile,
)  # fmt: skip
# pandas (3.1.1, which datasets 5.2.0 reads CSV with) takes the words None, NA, NaN, null and others for empty cells; as
# answers they are text. Cells that are empty stay so, and a column of numbers with empty cells a column of numbers.
AS_TEXT: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
WORLD_PART = 4000  # records of the embedded world that a process makes at a time


def rows(source: AnySource, root: Path, separator: str) -> Iterator[Row]:
    """Yield at most `source.limit` rows. `separator`: the line that ends a document in text files ("": a blank line).

    Raises ValueError naming file, line and column of broken data, FileNotFoundError for a path that names no file.
    """
    if isinstance(source, WorldSource):
        return _world_rows(source)
    if isinstance(source, InstructionsSource):
        return _instruction_rows(source, root)
    if isinstance(source, FeedbackSource):
        return feedback.rows(source, root)
    found = _hub_rows(source) if isinstance(source, HubSource) else _file_rows(source, root, separator)
    return islice(found, source.limit)


def _file_rows(source: FileSource, root: Path, separator: str) -> Iterator[Row]:
    for split in unread_splits(source.paths, root):
        print(
            f"source '{source.name}': {split}: not read, for of a folder's splits only train is; its own path names it"
        )
    for pattern in source.paths:
        for path in matches(pattern, root):
            yield from rows_of_file(path, source, separator)


def rows_of_file(path: Path, source: FileSource, separator: str) -> Iterator[Row]:
    """Return the rows of one of a source's files."""
    bound = bound_of(source)
    reader: dict[FileFormat, Callable[[Path], Iterator[Row]]] = {
        "jsonl": lambda path: read_json(path, bound, by_line=True),
        "json": lambda path: read_json(path, bound),
        "csv": lambda path: read_csv(path, bound, ","),
        "tsv": lambda path: read_csv(path, bound, "\t"),
        "parquet": lambda path: read_parquet(path, bound),
        "arrow": lambda path: read_arrow(path, bound),
        "text": lambda path: read_text(path, bound, separator),
    }
    return reader[format_of(path, source.format)](path)


def format_of(path: Path, said: Literal["auto", FileFormat] = "auto") -> FileFormat:
    """Return the format of a file: what it begins with if nothing else does so, else what is `said`, else its name's.

    Raises ValueError for an unknown one, for one that is none of FORMATS, and for one that is not what is said.
    """
    head = head_of(path)
    if problem := head.unreadable():
        raise ValueError(f"{path}: {problem}")
    held = head.content()
    if held in ("parquet", "arrow"):
        if said not in ("auto", held):
            raise ValueError(f"{path}: holds {held}, but the source's format is {said}; set it to auto")
        return held
    if said != "auto":
        return said
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in ENDINGS]
    named = FORMATS.get(endings[-1]) if endings else None
    if held == "json" and named not in ("jsonl", "text"):
        return "json"
    if named is None:
        known = ", ".join(FORMATS)
        raise ValueError(
            f"{path}: neither what it begins with nor its ending tells its format ({known}, each also packed: "
            f"{', '.join(ENDINGS)}); set the source's format"
        )
    return named


def _hub_rows(source: HubSource) -> Iterator[Row]:
    place = "/".join(part for part in [source.id, source.subset, source.folder, source.split] if part)
    bound = bound_of(source)
    for row in _numbered(_of_hub(source, place), place):
        bound.check(size_of(row.fields), row.where)
        yield row


def _of_hub(source: HubSource, place: str) -> Iterator[dict[str, Any]]:
    import datasets  # pyright: ignore[reportMissingTypeStubs]  # it has none
    from datasets.exceptions import DatasetsError  # pyright: ignore[reportMissingTypeStubs]

    if is_saved(Path(source.id)):
        fix = f"set kind: file and paths: [{source.id}] in place of id"
        raise ValueError(f"source '{source.name}': {place}: a data set that save_to_disk wrote; {fix}")
    hub: Any = datasets
    asked = {"name": source.subset, "data_dir": source.folder, "revision": source.revision}
    try:
        builder = hub.load_dataset_builder(source.id, **asked)
        is_csv = hasattr(builder.config, "keep_default_na")
        if is_csv:
            builder = hub.load_dataset_builder(source.id, **asked, **AS_TEXT)
        builder.download_and_prepare()
        for fields in builder.as_dataset(split=source.split):
            yield {name.strip(): value for name, value in fields.items()} if is_csv else fields
    except (*HUB_FAULTS, DatasetsError) as error:
        fix = "check id, subset, split and revision, and the connection; or download it and set kind: file"
        raise ValueError(f"source '{source.name}': {place}: {_causes(error)}; {fix}") from error


def _causes(error: BaseException) -> str:
    """Return what an error says, and what the deepest of its causes says, in a line."""
    cause = error
    while cause.__cause__:
        cause = cause.__cause__
    said = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
    return said if cause is error else f"{said}: {type(cause).__name__}: {' '.join(str(cause).split()):.300}"


def _world_rows(source: WorldSource) -> Iterator[Row]:
    total = source.documents + source.prompts
    parts = [range(start, min(start + WORLD_PART, total)) for start in range(0, total, WORLD_PART)]
    found = chain.from_iterable(processes.each(partial(_world_part, source), parts))
    return _numbered(found, f"source '{source.name}'")


def _world_part(source: WorldSource, numbers: range) -> list[dict[str, Any]]:
    from rlhf.world.source import records

    share = {} if source.chinese_share is None else {"chinese_share": source.chinese_share}
    return list(records(source.seed, source.documents, source.prompts, source.facts, numbers, **share))


def _instruction_rows(source: InstructionsSource, root: Path) -> Iterator[Row]:
    """Yield prompts with an instruction each; of people's files the last turn of a prompt is what gets one."""
    from rlhf.instructions import source as instructions

    place = f"source '{source.name}'"
    if source.paths is None:
        return _numbered(instructions.records(source.seed, source.prompts, source.half), place)
    texts: list[str] = []
    for pattern in source.paths:
        for path in matches(pattern, root):
            texts += islice(_prompts_of(path, source), source.prompts - len(texts))
    return _numbered(instructions.over(texts, source.seed, source.half), place)


def _prompts_of(path: Path, source: InstructionsSource) -> Iterator[str]:
    """Yield the prompts of one turn that a file's rows hold: to a longer dialogue an instruction says little."""
    from rlhf.collection.columns import recognise
    from rlhf.collection.dropped import Dropped

    file = FileSource.model_validate({"name": source.name, "kind": "file", "paths": [str(path)], "use": ["prompts"]})
    for index, row in enumerate(rows_of_file(path, file, "")):
        try:
            record = recognise(row, file, index)
        except Dropped:
            continue
        if record["kind"] != "document" and len(record["messages"]) == 1:
            yield record["messages"][0]["content"]


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
    """Return {"world": sha256 of the embedded world's code} where a source is a world, "instructions" likewise."""
    kinds, found = {type(source) for source in sources}, dict[str, str]()
    if WorldSource in kinds:
        from rlhf.world.source import fingerprint as world

        found["world"] = world()
    if InstructionsSource in kinds:
        from rlhf.instructions.source import fingerprint as instructions

        found["instructions"] = instructions()
    return found


def _numbered(table: Iterable[dict[str, Any]], place: str) -> Iterator[Row]:
    return (Row(fields, f"{place}: row {number}") for number, fields in enumerate(table, start=1))
