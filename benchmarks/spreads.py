"""What several rounds of a measurement say."""

from statistics import median


def spread(values: list[float]) -> dict[str, float]:
    """Return median, lowest and highest round, to three digits."""
    return {"median": round(median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}
