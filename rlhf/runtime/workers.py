"""Python work on all CPUs whose parts come one after another: few of them are in memory, results keep their order.

    with Workers(function, usable_cpus()) as workers:
        for result in workers.each(parts):
            ...

`processes.each` is for a list of parts. Here the parts may be endless, a worker that is killed ends the work with an
error that says so, and workers end with the process that started them, however that ends.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

PATIENCE = 5.0  # seconds for a worker to end its part
GONE = (EOFError, BrokenPipeError, ConnectionResetError)


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    from joblib import cpu_count

    return cpu_count()


class Workers(Generic[Part, Result]):
    """Processes that each hold `function`, which is pickled once."""

    def __init__(self, function: Callable[[Part], Result], count: int) -> None:
        context = get_context("spawn")  # a fork would copy the threads' locks without the threads
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, function), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def __enter__(self) -> "Workers[Part, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers: idle ones at once, others behind the part that they are at."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def each(self, parts: Iterable[Part]) -> Iterator[Result]:
        """Yield function(part) for every part, in their order. Raises ChildProcessError where a worker ended early.

        A worker is given its next part as soon as its last result is here, and only then: none waits while the other
        end writes, too.
        """
        asked: deque[int] = deque()
        for number, part in enumerate(parts):
            worker = number % len(self._processes)
            if len(asked) < len(self._processes):
                self._send(worker, part)
                asked.append(worker)
                continue
            result = self._receive(asked.popleft())
            self._send(worker, part)
            asked.append(worker)
            yield result
        while asked:
            yield self._receive(asked.popleft())

    def _send(self, number: int, part: Part) -> None:
        try:
            self._connections[number].send(part)
        except GONE:
            raise self._ended(number) from None

    def _receive(self, number: int) -> Any:
        try:
            return self._connections[number].recv()
        except GONE:
            raise self._ended(number) from None

    def _ended(self, number: int) -> ChildProcessError:
        process = self._processes[number]
        process.join(PATIENCE)
        code = process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}; what it said stands above"
        fix = (
            "; if memory ran out, give it more or let it use fewer CPUs (taskset -c 0)"
            if code == -signal.SIGKILL
            else ""
        )
        return ChildProcessError(f"a worker process {how}{fix}")


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Answer parts until the other end is closed. Ctrl-C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(*GONE):
        while True:
            connection.send(function(connection.recv()))
