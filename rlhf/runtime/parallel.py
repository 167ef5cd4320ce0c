"""Micro-batches computed in parallel: by the threads of this process, and by the processes that were started with it.

Each micro-batch is computed by one thread. Threads that share the operators of a small model would synchronise
thousands of times an update; micro-batches synchronise once. Results come in the micro-batches' order, so that bytes
depend on how a batch is cut and on nothing else. Every process asks for all micro-batches and gets all results.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, tee
from typing import TypeVar

import torch

from rlhf.runtime import distributed

Row = TypeVar("Row")
Part = TypeVar("Part")
Result = TypeVar("Result")

_pool: ThreadPoolExecutor | None = None
_num_workers = 1
_in_step = False


def set_workers(num_workers: int) -> None:
    """Set how many parts this process computes at once. `placement.prepare` calls it."""
    global _pool, _num_workers
    if num_workers != _num_workers:
        if _pool is not None:
            _pool.shutdown()
        _pool = ThreadPoolExecutor(num_workers, thread_name_prefix="worker") if num_workers > 1 else None
        _num_workers = num_workers


def workers() -> int:
    """Return how many parts this process computes at once."""
    return _num_workers


def walk_in_step(on: bool = True) -> None:
    """Let every process compute as many parts as the others from now on: weights in shards are gathered by all."""
    global _in_step
    _in_step = on


def part_size(num_rows: int, most: int, num_models: int = 1) -> int:
    """Return the rows of a part so that every worker of every process has one of like size, none above `most` rows.

    `num_models`: how many have their parts of the same rows computed at once.
    """
    return max(1, min(most, -(-num_rows // (max(1, _num_workers // num_models) * distributed.count()))))


def each(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield function(part) for every part, in their order, each computed by one process and heard of by all.

    See `here`. Results are sent where there are several processes: `messages` says of what they may be made.
    """
    if distributed.count() == 1:
        yield from here(function, parts)
        return
    mine, places = tee(dealt(parts))
    results = here(function, (part for part, _ in mine))
    shares = distributed.gathered([found for found, (_, counts) in zip(results, places, strict=True) if counts])
    for place in range(sum(map(len, shares))):
        yield shares[place % len(shares)][place // len(shares)]


def dealt(parts: Iterable[Part]) -> Iterator[tuple[Part, bool]]:
    """Yield the parts that are this process's to compute: all, or every n-th of n processes; and that they count.

    Where processes walk in step and parts are left for some of them alone, the others get one that does not count:
    they compute it, for all must call a model that lies in shards, and its result is nothing.
    """
    remaining = iter(parts)
    while some := [*islice(remaining, distributed.count())]:
        if distributed.number() < len(some):
            yield some[distributed.number()], True
        elif _in_step:
            yield some[0], False


def here(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield function(part) for every part, computed in this process, under the caller's gradient mode and autocast.

    The functions of two parts must not change what the other reads, nor draw from torch's global generator.
    """
    if _pool is None:
        yield from map(function, parts)
        return
    gradients = torch.is_grad_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def run(part: Part) -> Result:  # both settings belong to a thread
        with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype, enabled=autocast, cache_enabled=False):
            return function(part)

    waiting: deque[Future[Result]] = deque()  # few at once: a result may be a whole model's gradient
    try:
        for part in parts:
            waiting.append(_pool.submit(run, part))
            if len(waiting) > _num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


def cut(rows: list[Row], most: int) -> list[list[Row]]:
    """Return the rows in parts of `part_size`, in their order."""
    size = part_size(len(rows), most)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def by_length(function: Callable[[list[int]], list[Result]], lengths: Sequence[int], most: int) -> list[Result]:
    """Return one result a row, from function(indices of rows) on parts of at most `most` rows of like length."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    parts = cut(order, most)
    results: list = [None] * len(order)
    for part, found in zip(parts, each(function, parts), strict=True):
        for index, result in zip(part, found, strict=True):
            results[index] = result
    return results
