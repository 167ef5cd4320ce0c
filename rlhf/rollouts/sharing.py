"""What engines with weights of their own do alike: send a version in buckets, and share rows among processes."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from rlhf.rollouts import buckets
from rlhf.rollouts.buckets import Bucket, Line
from rlhf.rollouts.interface import Weights
from rlhf.runtime import parallel

Result = TypeVar("Result")


class Target(Protocol):
    """Where weights are sent: a `receiving.Receiver` of this process, or one behind an address."""

    def begin(self, session: str, version: int) -> None: ...

    def take(self, session: str, bucket: Bucket) -> None: ...

    def finish(self, manifest: Sequence[Line]) -> int: ...


def send(target: Target, session: str, version: int, weights: Weights, bucket_mb: float) -> None:
    """Send one version. Raises ValueError where the other side holds another one afterwards."""
    manifest: list[Line] = []
    target.begin(session, version)
    for bucket in buckets.cut(version, weights, int(bucket_mb * buckets.MEBIBYTE)):
        manifest += bucket.lines
        target.take(session, bucket)
    held = target.finish(manifest)
    if held != version:
        raise ValueError(f"the engine holds version {held} of the weights, and {version} was sent")


def by_process(answer: Callable[[list[int]], list[Result]], num_rows: int) -> list[Result]:
    """Return one result a row, each asked for by one of the processes that compute together. Collective."""
    num_parts = min(num_rows, parallel.distributed.count())
    parts = [[*range(first, num_rows, num_parts)] for first in range(num_parts)]
    results: list = [None] * num_rows
    for rows, found in zip(parts, parallel.each(answer, parts), strict=True):
        for row, result in zip(rows, found, strict=True):
            results[row] = result
    return results
