"""A stage's progress as text: one line that renews itself on a terminal, plain lines every few seconds elsewhere."""

import sys
import time
from collections.abc import Mapping

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_RENEWALS = 0.2


class Progress:
    """Prints `name  step/total  metrics  elapsed  ETA` to stdout, seldom enough to cost nothing."""

    def __init__(self, name: str, silent: bool):
        self.name, self.silent = name, silent
        self.terminal = sys.stdout.isatty()
        self.interval = SECONDS_BETWEEN_RENEWALS if self.terminal else SECONDS_BETWEEN_LINES
        self.began = self.counted_from = time.monotonic()
        self.printed_at = float("-inf")
        self.first_step = self.last_step = 0
        self.line_is_open = False

    def show(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Print the state after `step` of `total` steps; the first and the last step are always printed."""
        now = time.monotonic()
        if step <= self.first_step:
            return
        if step <= self.last_step:  # a new loop of the same stage has begun: its ETA starts afresh
            self.counted_from, self.printed_at, self.first_step = now, float("-inf"), 0
        self.last_step = step
        if self.silent or (step < total and now - self.printed_at < self.interval):
            return
        self.printed_at = now
        numbers = "".join(f"  {name} {value:.4g}" for name, value in metrics.items())
        times = f"  {duration(now - self.began)}"
        if 0 < step < total:
            times += f"  ETA {duration((now - self.counted_from) / (step - self.first_step) * (total - step))}"
        text = f"{self.name}  {step}/{total}{numbers}{times}"
        if self.terminal:
            print(f"\r\x1b[2K{text}", end="\n" if step >= total else "", flush=True)
            self.line_is_open = step < total
        else:
            print(text, flush=True)

    def goes_on_from(self, step: int) -> None:
        """Count from a step that was done before."""
        self.say(f"{self.name}  goes on after step {step}")
        self.first_step = self.last_step = step

    def say(self, text: str) -> None:
        """Print a line of its own, below an unfinished progress line."""
        if not self.silent:
            print(f"\n{text}" if self.line_is_open else text, flush=True)
        self.line_is_open = False

    def elapsed(self) -> float:
        """Return the seconds since the stage began."""
        return time.monotonic() - self.began


def duration(seconds: float) -> str:
    """Return seconds as 8s, 3m05s or 2h07m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
