"""Numbers in a file without a name, which goes with the process: a million rows of tokens take no memory of their own.

The system reads what is asked for, and keeps what it has room for. TMPDIR says where such files lie.
"""

import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple, overload

import numpy
import torch
from torch import Tensor


class Example(NamedTuple):
    record: str  # its id
    ids: list[int]
    assistant_mask: list[bool]  # beside each token: an assistant wrote it


class Column:
    """Rows of numbers, which are appended and then read at will."""

    def __init__(self, kind: str) -> None:
        self._kind = numpy.dtype(kind)
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="rlhf-rows-")  # noqa: SIM115 - it lives as long as this
        self._ends = array("q", [0])
        self._read: numpy.ndarray | None = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, values: Iterable[int]) -> None:
        """Append a row."""
        found = numpy.fromiter(values, self._kind)
        self._file.write(found.tobytes())
        self._ends.append(self._ends[-1] + len(found))
        self._read = None

    def row(self, number: int) -> numpy.ndarray:
        """Return a row."""
        return self.all()[self._ends[number] : self._ends[number + 1]]

    def all(self) -> numpy.ndarray:
        """Return all rows as one, read from the file as they are asked for; what is written to it stays here."""
        if self._read is None:
            self._file.flush()
            shape = (self._ends[-1],)
            empty = shape == (0,)  # no file of nothing can be mapped
            self._read = numpy.empty(0, self._kind) if empty else numpy.memmap(self._file, self._kind, "c", shape=shape)
        return self._read


class Examples(Sequence[Example]):
    """Examples to learn from, 5 bytes of the disk a token."""

    def __init__(self) -> None:
        self._records, self._ids, self._marks = Column("uint8"), Column("int32"), Column("bool")

    def append(self, example: Example) -> None:
        """Append one."""
        self._records.append(example.record.encode())
        self._ids.append(example.ids)
        self._marks.append(example.assistant_mask)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self._example(number) for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._example(index % len(self))

    def _example(self, number: int) -> Example:
        record = self._records.row(number).tobytes().decode()
        return Example(record, self._ids.row(number).tolist(), self._marks.row(number).tolist())

    def __iter__(self) -> Iterator[Example]:
        yield from map(self._example, range(len(self)))


def stream(pieces: Iterable[Iterable[int]]) -> Tensor:
    """Return all pieces as one row of ids [N], which is read from its file as it is asked for."""
    kept = Column("int64")
    for piece in pieces:
        kept.append(piece)
    return torch.from_numpy(kept.all())
