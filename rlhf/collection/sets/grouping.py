"""Equal keys in arrays: which row is the first of its group."""

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.table.facts import Rows

Keys = NDArray[np.uint64]


def firsts(keys: Keys) -> Rows:
    """Return for each key the place where an equal one stands first."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return first[group]


def different(keys: Keys) -> Rows:
    """Return the places at which a key stands first, in order."""
    return np.sort(np.unique(keys, return_index=True)[1])


def paired(first: Keys, second: Keys) -> Keys:
    """Return keys that are equal where both are."""
    mixed = first * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(29))) + second


def ranks(groups: Keys) -> Rows:
    """Return for each place how many earlier ones are of the same group."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    found = np.empty(groups.size, np.int64)
    found[order] = np.arange(groups.size) - np.searchsorted(ordered, ordered)
    return found
