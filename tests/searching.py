"""Searches of generated inputs: a few examples every day, the same ones; as many as SEARCH says, others each time."""

import os

from hypothesis import HealthCheck, Phase, settings

LONGEST = 1500  # characters of an error


def search(usual: int) -> settings:
    """Return the settings of a search of `usual` examples, or of SEARCH of them."""
    count = int(os.environ.get("SEARCH", usual))
    return settings(
        deadline=None,
        max_examples=count,
        derandomize=count < 1000,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
