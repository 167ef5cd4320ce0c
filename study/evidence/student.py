"""Student's t: the tail of its distribution, and the t that an interval needs."""

from scipy.stats import t as student_t


def tail(t: float, freedom: int) -> float:
    """Return P(T > t)."""
    return float(student_t.sf(t, freedom))


def quantile(coverage: float, freedom: int) -> float:
    """Return the t for which P(-t < T < t) is `coverage`."""
    return float(student_t.isf((1 - coverage) / 2, freedom))
