"""Files told by what they begin with, whatever their names say, and unpacked while they are read."""

import bz2
import codecs
import gzip
import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

HEAD = 1 << 16  # bytes of a file, unpacked, that tell what it is
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lzma")  # of packed files, behind that of their format

Packing = Literal["gzip", "bzip2", "xz", "zstd"]
PACKED: dict[Packing, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00|\x5d\x00\x00"),  # or the older .lzma
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # or a frame to be skipped, as pzstd writes first
}
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)  # what unpacking raises

Content = Literal["parquet", "arrow", "json"]
CONTENTS: dict[Content, re.Pattern[bytes]] = {
    "parquet": re.compile(rb"PAR1[^ -~\t\r\n]"),
    "arrow": re.compile(rb"ARROW1\x00\x00|\xff\xff\xff\xff"),  # a file, a stream
    "json": re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{\]])'),
}
UNREADABLE = {
    re.compile(rb"PK\x03\x04"): "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    re.compile(rb"\xd0\xcf\x11\xe0"): "an Excel workbook; save the sheet as CSV",
    re.compile(rb"7z\xbc\xaf|Rar!\x1a|(?s:.{257})ustar"): "an archive; unpack it and name its files",
    re.compile(rb"\x04\x22\x4d\x18"): "packed by lz4; unpack it, or pack it with gzip, bzip2, xz or zstd",
    re.compile(rb"FEA1\x00"): "Feather of version 1; read it with pandas.read_feather and write it with to_parquet",
    re.compile(rb"SQLite format 3\x00"): "an SQLite database; export its table as CSV",
    re.compile(rb"\x89HDF"): "an HDF5 file; export its table as Parquet or JSONL",
    re.compile(rb"\x80[\x02-\x05]"): "a pickle, which is not read, for it can run any code; write Parquet or JSONL",
    re.compile(rb"version https://git-lfs\."): "a pointer of Git LFS in place of the data; `git lfs pull` brings them",
    re.compile(rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]"): "UTF-16 without its byte order mark; save it as UTF-8",
}
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Head(NamedTuple):
    """What a file begins with."""

    packing: Packing | None
    start: bytes  # unpacked
    encoding: str  # of its text

    def content(self) -> Content | None:
        """Return the format that nothing else begins like; None for text, which may be anything."""
        for name, begins in CONTENTS.items():
            if begins.match(self.text().encode() if name == "json" else self.start):
                return name
        return None

    def text(self) -> str:
        """Return it as text; what is no text becomes a character that says so."""
        return self.start.decode(self.encoding, errors="replace").removeprefix("\ufeff")

    def unreadable(self) -> str:
        """Return what it is, and what to do, if it is known to be nothing that is read here, else ""."""
        if any(begins.match(self.start) for begins in PACKED.values()):
            return "packed twice; unpack it once"
        return next((what for begins, what in UNREADABLE.items() if begins.match(self.start)), "")


def head_of(path: Path) -> Head:
    """Return what a file begins with; of a broken one as much as can be read."""
    with open(path, "rb") as file:
        first = file.read(HEAD)
    packing: Packing | None = next((name for name, begins in PACKED.items() if begins.match(first)), None)
    start = first if packing is None else _start(path, packing)
    return Head(packing, start, next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8"))


def _start(path: Path, packing: Packing) -> bytes:
    start = bytearray()
    with suppress(*BROKEN), opened(path, packing) as file:
        while len(start) < HEAD and (piece := file.read1(HEAD - len(start))):
            start += piece
    return bytes(start)


def opened(path: Path, packing: Packing | None) -> BufferedReader:
    """Open a file for reading what is packed in it. Reading raises one of BROKEN if it is broken."""
    opens: dict[Packing | None, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "zstd": _open_zstd}
    return cast(BufferedReader, opens.get(packing, open)(path, "rb"))


def _open_zstd(path: Path, _: str) -> BufferedReader:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # it has none

    arrow: Any = pyarrow
    return BufferedReader(arrow.CompressedInputStream(arrow.OSFile(str(path)), "zstd"), HEAD)


@contextmanager
def unpacked(path: Path) -> Generator[Path]:
    """Give a file that can be read from any place on: itself, or a temporary one if it is packed."""
    packing = head_of(path).packing
    if packing is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="rlhf-", suffix=f"-{path.stem}") as copy:
        with opened(path, packing) as file:
            try:
                shutil.copyfileobj(file, copy, HEAD)
            except BROKEN as error:
                raise ValueError(f"{path}: broken {packing} file: {error}") from None
        copy.flush()
        yield Path(copy.name)
