"""What a GGUF file says of itself, looked at before any of it is taken into memory.

A count in it is believed as far as the file goes: the gguf library's own reader follows one of 2^60 until memory ends.
"""

import math
import mmap
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.models.shapes import MOST_LAYERS

MAGIC, VERSIONS = b"GGUF", (2, 3)
FORMS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
SMALLEST_TENSOR = 24  # bytes of its entry in the table: lengths, type and offset
MOST_DIMENSIONS, MOST_ALIGNMENT = 4, 1 << 20


class Stored(NamedTuple):
    """One tensor as a file holds it."""

    type: str  # its quantisation: F32, Q4_1
    size: int  # numbers
    num_bytes: int
    offset: int  # from the first tensor's


class Header(NamedTuple):
    file: Path
    file_bytes: int
    told: Mapping[str, Any]  # by key: numbers, texts, and of an array its length
    tensors: Mapping[str, Stored]

    @property
    def architecture(self) -> str:
        return str(self.told.get("general.architecture"))

    @property
    def num_weights(self) -> int:
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def tied(self) -> bool:
        """Whether the word embeddings are the output layer too."""
        return "output.weight" not in self.tensors

    def of_model(self, key: str) -> Any:
        """Return what it says of its architecture, such as context_length; None where it does not."""
        return self.told.get(f"{self.architecture}.{key}")

    def words(self) -> str:
        """Return what it is, in a line: architecture, weights, quantisation, size, licence."""
        types = Counter(tensor.type for tensor in self.tensors.values())
        quantised = ", ".join(f"{name} ({count} tensors)" for name, count in types.most_common())
        return (
            f"{self.architecture}, {self.num_weights:,} weights as {quantised}, {self.file_bytes / 1e6:.0f} MB, "
            f"licence {self.told.get('general.license', 'not said')}"
        )


def read(file: Path) -> Header:
    """Return a file's header. Raises ValueError for what is no whole GGUF, without taking more memory than it has."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        begin = opened.read(len(MAGIC))
        if begin != MAGIC:
            raise ValueError(f"not a GGUF file: it begins with {begin!r}, expected {MAGIC!r}")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            told, num_tensors, at = _told(content)
            tensors, at = _tensors(content, num_tensors, at)
    found = Header(file, size, told, tensors)
    _check(found, at)
    return found


def _check(found: Header, end: int) -> None:
    """Raise ValueError for tensors that the file does not have, or layers that no model has; `end`: of the header."""
    alignment = found.told.get("general.alignment", 32)
    if not (isinstance(alignment, int) and 0 < alignment <= MOST_ALIGNMENT and alignment & (alignment - 1) == 0):
        raise ValueError(f"general.alignment: expected a power of two up to {MOST_ALIGNMENT}, got {alignment!r}")
    begin = -(-end // alignment) * alignment
    for name, tensor in found.tensors.items():
        if begin + tensor.offset + tensor.num_bytes > found.file_bytes:
            raise ValueError(
                f"{name}: its header promises bytes up to {begin + tensor.offset + tensor.num_bytes:,}, and the file "
                f"has {found.file_bytes:,}: it was cut off; copy or download it again"
            )
    if (promised := sum(tensor.num_bytes for tensor in found.tensors.values())) > found.file_bytes:
        raise ValueError(f"its header promises tensors of {promised:,} bytes, and the file has {found.file_bytes:,}")
    layers = found.of_model("block_count")
    if not isinstance(layers, int) or not 0 < layers <= MOST_LAYERS:
        raise ValueError(f"{found.architecture}.block_count: expected 1 to {MOST_LAYERS:,} layers, got {layers!r}")


def _told(content: mmap.mmap) -> tuple[dict[str, Any], int, int]:
    """Return what the file says by key, how many tensors follow, and where."""
    version, at = _number(content, len(MAGIC), "<I")
    if version & 0xFFFF == 0:
        raise ValueError("it is big-endian; convert it (gguf_convert_endian.py of gguf)")
    if version not in VERSIONS:
        raise ValueError(f"GGUF version {version}: expected one of {VERSIONS}; convert the model again")
    num_tensors, at = _number(content, at, "<Q")
    num_keys, at = _number(content, at, "<Q")
    told: dict[str, Any] = {}
    for _ in range(num_keys):
        key, at = _text(content, at)
        kind, at = _number(content, at, "<I")
        if key in told:
            raise ValueError(f"{key:.80}: it stands there twice; convert the model again")
        told[key], at = _value(content, at, kind)
    return told, num_tensors, at


def _tensors(content: mmap.mmap, count: int, at: int) -> tuple[dict[str, Stored], int]:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # takes a tenth of a second, which few commands need

    _need(content, at, count * SMALLEST_TENSOR)
    known = {kind.value: kind for kind in GGMLQuantizationType}
    found: dict[str, Stored] = {}
    for _ in range(count):
        name, at = _text(content, at)
        num_dimensions, at = _number(content, at, "<I")
        if num_dimensions > MOST_DIMENSIONS or name in found:
            raise ValueError(f"{name:.80}: it stands there twice, or has {num_dimensions} dimensions")
        dimensions = []
        for _ in range(num_dimensions):
            dimension, at = _number(content, at, "<Q")
            dimensions.append(dimension)
        number, at = _number(content, at, "<I")
        offset, at = _number(content, at, "<Q")
        if number not in known:
            raise ValueError(f"{name:.80}: quantisation type {number}, which gguf does not know")
        block, num_bytes = GGML_QUANT_SIZES[known[number]]
        if dimensions and dimensions[0] % block:
            raise ValueError(f"{name:.80}: rows of {dimensions[0]}, which are no whole blocks of {block}")
        size = math.prod(dimensions)
        found[name] = Stored(known[number].name, size, size // block * num_bytes, offset)
    return found, at


def _value(content: mmap.mmap, at: int, kind: int) -> tuple[Any, int]:
    """Return a value, of an array its length, and where the next one begins."""
    if kind in FORMS:
        return _number(content, at, FORMS[kind])
    if kind == TEXT:
        return _text(content, at)
    if kind != ARRAY:
        raise ValueError(f"a value of type {kind} at byte {at:,}, which GGUF does not have")
    of, at = _number(content, at, "<I")
    count, at = _number(content, at, "<Q")
    if of in FORMS:
        size = count * struct.calcsize(FORMS[of])
        _need(content, at, size)
        return count, at + size
    if of != TEXT:
        raise ValueError(f"an array of values of type {of} at byte {at:,}, which is not read")
    _need(content, at, count * 8)
    for _ in range(count):
        length, at = _number(content, at, "<Q")
        _need(content, at, length)
        at += length
    return count, at


def _text(content: mmap.mmap, at: int) -> tuple[str, int]:
    length, at = _number(content, at, "<Q")
    _need(content, at, length)
    return content[at : at + length].decode("utf-8"), at + length


def _number(content: mmap.mmap, at: int, form: str) -> tuple[Any, int]:
    size = struct.calcsize(form)
    _need(content, at, size)
    return struct.unpack_from(form, content, at)[0], at + size


def _need(content: mmap.mmap, at: int, size: int) -> None:
    """Raise ValueError where fewer bytes than that follow."""
    if at + size > len(content):
        raise ValueError(
            f"its header promises {size:,} bytes at byte {at:,}, and the file has {len(content):,}: it was cut off; "
            "copy or download it again"
        )
