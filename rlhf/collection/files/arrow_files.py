"""Parquet and Arrow files -> raw rows, a few at a time; packed ones are unpacked to a temporary file first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlhf.collection.bounded import Bound, size_of
from rlhf.collection.files.packed import unpacked
from rlhf.collection.readers import Row, check_names

AT_A_TIME = 64  # most rows in memory
A_VALUE = 4  # bytes that a value of a Parquet file takes in memory at least, where the file repeats it for nothing
FILE = b"ARROW1"  # how Arrow's files begin, and its streams do not

Batches = Callable[[Path, Path, Bound], Iterator[tuple[Any, Any]]]


def read_parquet(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a record of a Parquet file.

    Texts are read as they lie in the file, as numbers of a dictionary's entries, and are spelled out once it is known
    how long they are: a list that repeats one text takes a few bytes of a file.
    """
    return _rows(path, bound, _of_parquet, "Parquet")


def read_arrow(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a record of an Arrow file (Feather of version 2, too) or stream.

    What is not compressed inside is mapped, not read; of the rest one record batch is in memory.
    """
    return _rows(path, bound, _of_arrow, "Arrow")


def _rows(path: Path, bound: Bound, batches: Batches, name: str) -> Iterator[Row]:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none

    arrow: Any = pyarrow
    number = 0
    with unpacked(path) as place:
        try:
            for batch, schema in batches(place, path, bound):
                for part in _checked(batch, number, path, bound):
                    for fields in (part if schema is None else part.cast(schema)).to_pylist():
                        number += 1
                        where = f"{path}: row {number}"
                        bound.check(size_of(fields) if part is not batch else 0, where)
                        yield Row(fields, where)
        except (arrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a readable {name} file: {error}") from None


def _of_parquet(place: Path, path: Path, bound: Bound) -> Iterator[tuple[Any, Any]]:
    """Yield batches whose texts are numbers of a dictionary's entries, and the schema in which they are spelled out."""
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]  # it has none

    tables: Any = parquet
    with tables.ParquetFile(place) as plain, tables.ParquetFile(place, read_dictionary=_texts(plain)) as file:
        check_names(plain.schema_arrow.names, str(path))
        schema = _without_views(plain.schema_arrow)
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)  # what it says of itself, before any is read
            columns = [about.column(index) for index in range(about.num_columns)]
            size = sum(max(column.total_uncompressed_size, A_VALUE * column.num_values) for column in columns)
            bound.check(size // max(about.num_rows, 1), f"{path}: a row of row group {group + 1}")
            few = _rows_at_a_time(size, about.num_rows, bound)
            for batch in file.iter_batches(few, row_groups=[group]):
                yield batch, schema


def _without_views(schema: Any) -> Any:
    """Return a schema with usual texts and bytes for views of such: to these no dictionary can be spelled out."""
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    arrow: Any = pyarrow
    views = {arrow.string_view(): arrow.string(), arrow.binary_view(): arrow.binary()}
    return arrow.schema([field.with_type(views.get(field.type, field.type)) for field in schema])


def _texts(file: Any) -> list[str]:
    """Return the paths of a Parquet file's columns of text and bytes, those within lists and objects as well."""
    columns = [file.schema.column(index) for index in range(len(file.schema))]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _of_arrow(place: Path, path: Path, bound: Bound) -> Iterator[tuple[Any, None]]:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none

    arrow: Any = pyarrow
    with arrow.memory_map(str(place)) as file:
        is_file = file.read(len(FILE)) == FILE
        file.seek(0)
        reader = arrow.ipc.open_file(file) if is_file else arrow.ipc.open_stream(file)
        check_names(reader.schema.names, str(path))
        for batch in map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader:
            batch.validate(full=True)  # Arrow reads on where a file's offsets lead
            few = _rows_at_a_time(batch.nbytes, batch.num_rows, bound)
            yield from ((batch.slice(start, few), None) for start in range(0, batch.num_rows, few))


def _rows_at_a_time(size: int, rows: int, bound: Bound) -> int:
    """Return how many rows of `rows` that have `size` bytes to read together."""
    return max(1, min(AT_A_TIME, bound.size // (size // max(rows, 1) + 1)))


def _checked(batch: Any, before: int, path: Path, bound: Bound) -> list[Any]:
    """Return a batch in parts that may become objects of Python. Raises ValueError for a row that is too long."""
    if _size(batch) <= bound.size:
        return [batch]
    rows = [batch.slice(index, 1) for index in range(batch.num_rows)]
    for number, row in enumerate(rows, start=before + 1):
        bound.check(_size(row), f"{path}: row {number}")
    return rows


def _size(batch: Any) -> int:
    """Return about how many bytes the values of a batch take where each text is spelled out."""
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]
    from pyarrow import compute  # pyright: ignore[reportMissingTypeStubs]

    arrow: Any = pyarrow
    functions: Any = compute
    waiting, size = [*batch.columns], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, arrow.DictionaryArray) and _is_text(one.dictionary.type):
            lengths = functions.binary_length(one.dictionary).take(one.indices)
            size += functions.sum(lengths).as_py() or 0
        elif isinstance(one, arrow.DictionaryArray):  # its values are shared
            size += one.indices.nbytes
        elif isinstance(one, arrow.MapArray):
            first, last = one.offsets[0].as_py(), one.offsets[-1].as_py()
            waiting += [one.keys.slice(first, last - first), one.items.slice(first, last - first)]
        elif isinstance(one, arrow.StructArray):
            waiting += one.flatten()
        elif arrow.types.is_nested(one.type):
            waiting.append(one.flatten())
        else:
            size += one.nbytes
    return size


def _is_text(kind: Any) -> bool:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    types: Any = pyarrow.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
