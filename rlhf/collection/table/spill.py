"""What records are on disk while the stage decides on them: appended as they come, read by their places."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 24  # bytes that are read together


class Appended:
    """A file that grows, and of which any part can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0  # bytes
        self._is_flushed = True

    def append(self, content: bytes) -> int:
        """Append bytes; returns where they begin."""
        start = self.size
        self._file.write(content)
        self.size += len(content)
        self._is_flushed = False
        return start

    def read(self, start: int, size: int) -> bytes:
        if not self._is_flushed:
            self._file.flush()
            self._is_flushed = True
        return os.pread(self._file.fileno(), size, start)


class Spill:
    """A folder of such files, which is removed at the end, however that comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Spill":
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
        self.folder.mkdir(parents=True)
        self._files = ExitStack()
        self.records, self.documents, self.runs = (
            Appended(self._files.enter_context(open(self.folder / name, "w+b")))  # noqa: SIM115  # __exit__ closes it
            for name in ("records", "documents", "runs")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class SpilledRuns:
    """The runs of some prompts, in their order in the file (see duplicates.near.Runs)."""

    def __init__(self, file: Appended, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self._file, self._starts, self.sizes = file, starts, sizes

    def between(self, start: int, stop: int) -> NDArray[np.uint32]:
        """Return the runs of the prompts start..stop-1, one prompt after another."""
        if start == stop:
            return np.empty(0, np.uint32)
        first, last = int(self._starts[start]), int(self._starts[stop - 1] + self.sizes[stop - 1])
        found = np.frombuffer(self._file.read(4 * first, 4 * (last - first)), np.uint32)
        if self.sizes[start:stop].sum() == last - first:
            return found
        places = np.zeros(last - first + 1, np.int8)  # runs of other prompts lie between
        np.add.at(places, self._starts[start:stop] - first, 1)
        np.add.at(places, self._starts[start:stop] + self.sizes[start:stop] - first, -1)
        return found[np.cumsum(places[:-1]).astype(bool)]


def chunks(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Yield neighbouring places whose sizes add up to about AT_ONCE."""
    ends = np.cumsum(sizes) // AT_ONCE
    cuts = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), sizes.size]
    return (slice(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False) if start < stop)
