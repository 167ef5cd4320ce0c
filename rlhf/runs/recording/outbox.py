"""What a recorder tells a store, in its order: an operation that an outage stops is kept, and tried again later.

An operation may run again after an attempt that failed midway, or whose answer was lost: it must come to the same.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlhf.secrets import guard

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds between attempts; each pause is twice the one before
SECONDS_AT_THE_END = 60.0  # a stage that has ended waits for its store
PATIENCE = 5.0  # seconds that a round waits for failures: each costs 20 where a server is silent or a database locked
REFUSALS = {  # codes of MLflow that another attempt would not change
    "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "NOT_IMPLEMENTED",
}  # fmt: skip


STORES = {"mlflow", "sqlalchemy", "botocore", "boto3", "s3transfer", "google", "azure"}  # whose errors a store raises


class Operation(NamedTuple):
    """One thing to record. Those of one `line` keep their order; without one an operation may overtake others."""

    what: str
    do: Callable[[], object]
    line: str | None
    size: Callable[[], int]  # how many things of that name


class Outbox:
    """The operations that a stage's store has not taken yet."""

    def __init__(self, title: str):
        self._title = title
        self._waiting: list[Operation] = []
        self._round: deque[Operation] | None = None  # operations of the round that is being tried
        self._is_away = False  # the store itself: what waits else does so for a full disk, say
        self._pause, self._tried_at = 0.0, 0.0  # seconds: no pause while all is taken

    def put(
        self, what: str, do: Callable[[], object], line: str | None = None, size: Callable[[], int] = lambda: 1
    ) -> None:
        """Do it now; amid another operation, or an outage of the store, when its turn comes."""
        operation = Operation(what, do, line, size)
        if self._round is not None:
            self._round.append(operation)
        elif self.is_due():
            self._try([*self._waiting, operation], [])
        elif self._is_away:
            self._waiting.append(operation)
        else:
            self._try([operation], self._waiting)

    def holds(self, name: str) -> bool:
        """Say whether an operation of that name, or of the line of that name, waits."""
        return any(name in (operation.what, operation.line) for operation in self._waiting)

    def is_due(self) -> bool:
        """Say whether the pause after a failure is over; True if none failed."""
        return time.monotonic() - self._tried_at >= self._pause

    def due_in(self) -> float | None:
        """Return the seconds until the next attempt; None if nothing waits for one."""
        return max(0.0, self._tried_at + self._pause - time.monotonic()) if self._waiting else None

    def attempt(self) -> None:
        """Try all that wait."""
        self._try(self._waiting, [])

    def _try(self, operations: Sequence[Operation], others: Sequence[Operation]) -> None:
        """Try operations in their order, and what they put here; what fails waits behind `others`, which wait already.

        Says when an outage begins and when it is over.
        """
        self._round, kept, failures, spent = deque(operations), [*others], list[Exception](), 0.0
        while self._round:
            operation, began = self._round.popleft(), time.monotonic()
            is_behind = operation.line is not None and operation.line in {one.line for one in kept}
            if is_behind or spent >= PATIENCE:
                kept.append(operation)
            elif failure := self._failure_of(operation):
                kept.append(operation)
                failures.append(failure)
                spent += time.monotonic() - began
        self._round, self._waiting = None, kept
        self._is_away = any(not isinstance(failure, OSError) for failure in failures)
        if kept and not self._pause:
            why = _reason(failures[0])
            guard.say(f"WARNING: {self._title}: MLflow did not take {named(kept)}: {why} (it is tried again)")
        if self._pause and not kept:
            guard.say(f"{self._title}: MLflow has taken what waited")
        if not others:
            self._tried_at = time.monotonic()
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE) if kept else 0.0

    def _failure_of(self, operation: Operation) -> Exception | None:
        """Do an operation; return why it has to be tried again. One that is refused for its content is named."""
        try:
            operation.do()
        except Exception as error:
            if not (isinstance(error, OSError) or type(error).__module__.partition(".")[0] in STORES):
                raise
            if not _is_refusal(error):
                return error
            guard.say(f"WARNING: {self._title}: MLflow refuses {operation.what}: {_reason(error)}")
        return None

    def drain(self, wait: Callable[[float], object]) -> str:
        """Try again until all is taken, for SECONDS_AT_THE_END; then say what is lost, and return its names if the
        store itself is there to be told.

        `wait` lets so many seconds pass; what it returns, if true, says that nobody waits any longer.
        """
        if self._waiting:
            self.attempt()
        if not self._waiting:
            return ""
        end, pause = time.monotonic() + SECONDS_AT_THE_END, FIRST_PAUSE
        guard.say(
            f"{self._title}: waiting up to {SECONDS_AT_THE_END:g} s for MLflow, which has not taken "
            f"{named(self._waiting)}"
        )
        while self._waiting and (left := end - time.monotonic()) > 0:
            if wait(min(pause, left)):
                break
            self.attempt()
            pause *= 2
        lost = named(self._waiting)
        if lost:
            guard.say(f"WARNING: {self._title}: lost, as MLflow has not taken it: {lost}")
            self._waiting.clear()
            self._pause = 0.0
        return "" if self._is_away else lost


def named(operations: Sequence[Operation]) -> str:
    """Return what operations record, each name once and with its number: "params (2), metrics (130), inputs"."""
    counts: Counter[str] = Counter()
    for operation in operations:
        counts[operation.what] += operation.size()
    return ", ".join(what if count == 1 else f"{what} ({count})" for what, count in counts.items())


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_refusal(error: Exception) -> bool:
    """Say whether an operation fails by its content: by a code of MLflow's, or since a file to record is not there."""
    return getattr(error, "error_code", None) in REFUSALS or isinstance(error, FileNotFoundError)
