"""How figures are written on every page, table and plot: one minus sign, one form of interval, one mark for none.

Needs no numbers library.
"""

from typing import Protocol

MISSING = "–"


class Interval(Protocol):
    """A mean and the bounds around it."""

    @property
    def mean(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """Return `value` with a real minus sign, zero without one: −0.28, 1,000; with `sign` also +0.28."""
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if sign else ''},.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    return f"{number(100 * share, digits)}%"


def interval(found: Interval | None, digits: int = 2, sign: bool = False) -> str:
    """Return −0.28 (−0.35 to −0.21); the mean alone where no resample differs, MISSING where there is none."""
    if found is None:
        return MISSING
    mean, low, high = (number(value, digits, sign) for value in (found.mean, found.low, found.high))
    return mean if found.low == found.high else f"{mean} ({low} to {high})"


def percent_interval(found: Interval | None, digits: int = 0) -> str:
    """Return 74% (72 to 77%), by the same rules."""
    if found is None:
        return MISSING
    mean = percent(found.mean, digits)
    return mean if found.low == found.high else f"{mean} ({percent_bounds(found, digits)})"


def percent_bounds(found: Interval, digits: int = 0) -> str:
    """Return 72 to 77%."""
    return f"{number(100 * found.low, digits)} to {percent(found.high, digits)}"
