"""A stage's progress as text: one line that renews itself on a terminal, plain lines every few seconds elsewhere."""

import sys
import time
from collections.abc import Mapping

from rlhf.secrets import guard

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_RENEWALS = 0.2
SECONDS_BEFORE_ETA = 2.0  # of steps that were timed; what fewer say is wild


class Progress:
    """Prints `name  step/total  metrics  elapsed  ETA` to stdout, seldom enough to cost nothing.

    The ETA counts steps alone, without the start-up and the first step, and is left out until a few seconds of them
    were timed.
    """

    def __init__(self, name: str, silent: bool):
        self.name, self.silent = name, silent
        self.terminal = sys.stdout.isatty()
        self.interval = SECONDS_BETWEEN_RENEWALS if self.terminal else SECONDS_BETWEEN_LINES
        self.began = time.monotonic()
        self.printed_at = float("-inf")
        self.steps_done_before = self.last_step = 0
        self.timed_from: tuple[int, float] | None = None  # a step and the moment it ended: ETAs count from there
        self.line_is_open = False

    def show(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Print the state after `step` of `total` steps; the first and the last step are always printed."""
        now = time.monotonic()
        if step <= self.steps_done_before:
            return
        if step <= self.last_step:  # a new loop of the same stage has begun: its ETA starts afresh
            self.printed_at, self.steps_done_before, self.timed_from = float("-inf"), 0, None
        self.last_step = step
        if self.timed_from is None:  # the first step ends only now: neither it nor the start-up before it is typical
            self.timed_from = step, now
        if self.silent or (step < total and now - self.printed_at < self.interval):
            return
        self.printed_at = now
        numbers = "".join(f"  {name} {_number(value)}" for name, value in metrics.items())
        text = f"{self.name}  {step}/{total}{numbers}  {duration(now - self.began)}{self._eta(step, total, now)}"
        if self.terminal:
            print(f"\r\x1b[2K{text}", end="\n" if step >= total else "", flush=True)
            self.line_is_open = step < total
        else:
            print(text, flush=True)

    def _eta(self, step: int, total: int, now: float) -> str:
        """Return the time that the steps to come will take at the speed since `timed_from`; empty while unknown."""
        assert self.timed_from
        first, moment = self.timed_from
        if step in (first, total) or now - moment < SECONDS_BEFORE_ETA:
            return ""
        return f"  ETA {duration((now - moment) / (step - first) * (total - step))}"

    def goes_on_from(self, step: int) -> None:
        """Count from a step that was done before."""
        self.say(f"{self.name}  goes on after step {step}")
        self.steps_done_before = self.last_step = step

    def say(self, text: str) -> None:
        """Print a line of its own, below an unfinished progress line."""
        if not self.silent:
            guard.say(f"\n{text}" if self.line_is_open else text, sys.stdout)
        self.line_is_open = False

    def elapsed(self) -> float:
        """Return the seconds since the stage began."""
        return time.monotonic() - self.began


def _number(value: float) -> str:
    """Return a count in full, another number with four digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return seconds as 8s, 3m05s or 2h07m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
