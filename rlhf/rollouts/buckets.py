"""Weights on their way to an engine: in buckets of bounded size, each tensor with the line of a manifest.

A line says what a tensor is: its name, shape and type, and a checksum of its numbers in their order. Who receives it
computes the line again, so that a tensor which is cut, permuted, another one's or an earlier version's is named.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlhf.rollouts.interface import Weights

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of a number
AT_ONCE = 1 << 22  # numbers of a checksum: they are widened to eight bytes each
ODD = -7046029254386353131  # 2^64 / golden ratio, as a signed number: its multiples are spread over all 64 bits
MEBIBYTE = 1 << 20


class Line(NamedTuple):
    """What a manifest says of a tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    checksum: int

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> "Line":
        """Return the line of a tensor as it is now."""
        return cls(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), checksum(tensor))

    @classmethod
    def read(cls, told: Sequence[Any]) -> "Line":
        """Return a line that came as JSON."""
        name, shape, dtype, number = told
        return cls(name, tuple(shape), dtype, number)

    def differs(self, other: "Line") -> str | None:
        """Return what another line of this name says otherwise; None where they agree."""
        for what in ("shape", "dtype", "checksum"):
            expected, found = getattr(self, what), getattr(other, what)
            if expected != found:
                return f"{self.name}: {what} {found}, and {expected} was sent"
        return None


class Bucket(NamedTuple):
    """Some tensors of one version, with what the manifest says of them."""

    version: int
    number: int  # of the version's buckets, from 0
    lines: list[Line]
    tensors: dict[str, Tensor]


def checksum(tensor: Tensor) -> int:
    """Return a number of 64 bits that the numbers of a tensor and their order decide, computed where the tensor is.

    Each number's bits are multiplied by an odd number that its place scatters over 64 bits, and all are added, modulo
    2^64: exact, and so the same on every device. A single number that changes always changes it.
    """
    numbers = tensor.detach().contiguous().flatten()
    words = numbers.view(WORDS[numbers.element_size()])
    total = 0
    for start in range(0, len(words), AT_ONCE):
        some = words[start : start + AT_ONCE].long()
        places = torch.arange(start, start + len(some), device=words.device) * ODD
        places = (places ^ (places >> 31)) * 2 + 1
        total += int((some * places).sum())
    return total % 2**64


def cut(version: int, weights: Weights, most_bytes: int) -> Iterator[Bucket]:
    """Yield the weights in buckets of at most so many bytes; a larger tensor has a bucket of its own.

    Raises ValueError for a name that comes twice.
    """
    waiting, size, number, seen = dict[str, Tensor](), 0, 0, set[str]()
    for name, tensor in weights:
        if name in seen:
            raise ValueError(f"{name}: the policy's weights have this name twice")
        seen.add(name)
        if waiting and size + tensor.nbytes > most_bytes:
            yield _bucket(version, number, waiting)
            waiting, size, number = {}, 0, number + 1
        waiting[name] = tensor
        size += tensor.nbytes
    if waiting:
        yield _bucket(version, number, waiting)


def _bucket(version: int, number: int, tensors: dict[str, Tensor]) -> Bucket:
    return Bucket(version, number, [Line.of(name, tensor) for name, tensor in tensors.items()], tensors)


def to_text(bucket: Bucket) -> str:
    """Return a bucket as JSON, its tensors as safetensors in base64: what a server takes that takes no other bytes."""
    from safetensors.torch import save

    there = {name: tensor.detach().cpu().contiguous() for name, tensor in bucket.tensors.items()}
    content = base64.b64encode(save(there)).decode("ascii")
    return json.dumps({"version": bucket.version, "number": bucket.number, "lines": bucket.lines, "tensors": content})


def from_text(text: str) -> Bucket:
    """Return the bucket that `to_text` wrote."""
    from safetensors.torch import load

    told: Mapping[str, Any] = json.loads(text)
    tensors = load(base64.b64decode(told["tensors"]))
    return Bucket(told["version"], told["number"], [Line.read(line) for line in told["lines"]], tensors)
