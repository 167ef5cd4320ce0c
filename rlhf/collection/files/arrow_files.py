"""Parquet and Arrow files -> raw rows, a few at a time; packed ones are unpacked to a temporary file first."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlhf.collection.bounded import Bound, size_of
from rlhf.collection.files.packed import unpacked
from rlhf.collection.readers import Row, check_names

AT_A_TIME = 64  # most rows in memory
FILE = b"ARROW1"  # how Arrow's files begin, and its streams do not

Batches = Callable[[Path, Path, Bound], Iterator[Any]]


def read_parquet(path: Path, bound: Bound) -> Iterator[Row]:
    """Yield one row a record of a Parquet file."""
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
            for batch in batches(place, path, bound):
                is_long = _is_long(batch, number, path, bound)
                for fields in batch.to_pylist():
                    number += 1
                    where = f"{path}: row {number}"
                    bound.check(size_of(fields) if is_long else 0, where)
                    yield Row(fields, where)
        except (arrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a readable {name} file: {error}") from None


def _of_parquet(place: Path, path: Path, bound: Bound) -> Iterator[Any]:
    from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]  # it has none

    tables: Any = parquet
    with tables.ParquetFile(place) as file:
        check_names(file.schema_arrow.names, str(path))
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)  # what it says of itself, before any is read
            size = sum(about.column(index).total_uncompressed_size for index in range(about.num_columns))
            bound.check(size // max(about.num_rows, 1), f"{path}: a row of row group {group + 1}")
            yield from file.iter_batches(_rows_at_a_time(size, about.num_rows, bound), row_groups=[group])


def _of_arrow(place: Path, path: Path, bound: Bound) -> Iterator[Any]:
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
            yield from (batch.slice(start, few) for start in range(0, batch.num_rows, few))


def _rows_at_a_time(size: int, rows: int, bound: Bound) -> int:
    """Return how many rows of `rows` that have `size` bytes to read together."""
    return max(1, min(AT_A_TIME, bound.size // (size // max(rows, 1) + 1)))


def _is_long(batch: Any, before: int, path: Path, bound: Bound) -> bool:
    """Return whether a row may be too long; raises ValueError for one that is, before it becomes objects of Python."""
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none

    types: Any = pyarrow
    if batch.nbytes <= bound.size:
        return False
    columns = [
        column for column in batch.columns if not types.types.is_dictionary(column.type)
    ]  # its values are shared
    for index in range(batch.num_rows):
        size = sum(column.slice(index, 1).nbytes for column in columns)
        bound.check(size, f"{path}: row {before + index + 1}")
    return True
