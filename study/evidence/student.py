"""Student's t with whole degrees of freedom: the tail of its distribution, and the t that an interval needs."""

from math import atan, cos, pi, sin, sqrt


def tail(t: float, freedom: int) -> float:
    """Return P(T > t), by the finite series of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4."""
    if t < 0:
        return 1 - tail(-t, freedom)
    angle, odd = atan(t / sqrt(freedom)), freedom % 2
    term, total = cos(angle) ** odd, 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cos(angle) ** 2
    within = sin(angle) * total  # P(-t < T < t)
    if odd:
        within = 2 / pi * (angle + within)
    return max(0.0, (1 - within) / 2)


def quantile(coverage: float, freedom: int) -> float:
    """Return the t for which P(-t < T < t) is `coverage`."""
    beyond = (1 - coverage) / 2
    low, high = 0.0, 1.0
    while tail(high, freedom) > beyond:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, freedom) > beyond else (low, middle)
    return high
