"""Which split a unit (a user, or a prompt without one: sets.assigning) enters; the same for every run of a seed."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rlhf.params.collect_prompts import AnySource, Source, Split
from rlhf.runtime.seeds import derive

HASHES = 2**63


def held_out_first(sources: Sequence[AnySource]) -> list[AnySource]:
    """Return sources with those of held-out data before the others, so that a prompt in both stays held out.

    A slice apart comes last of them: it takes no prompt from the test and validation sets.
    """
    return sorted(sources, key=_held_out_rank)


def _held_out_rank(source: Source) -> int:
    if not source.splits or not set(source.splits) <= {"validation", "test"}:
        return 3
    if source.apart:
        return 2
    return 0 if set(source.splits) == {"test"} else 1


def point_of(unit: str, seed: int) -> int:
    """Return the hash by which a user's or prompt's split is chosen."""
    return derive(seed, "split", unit)


def choices(
    points: NDArray[np.uint64], allowed: Sequence[Split], shares: Mapping[Split, float]
) -> tuple[list[Split], NDArray[np.int64]]:
    """Return the splits of users or prompts as places in a list of splits: a hash falls into one of the allowed ones'
    shares.

    The choice depends on nothing but the arguments: new data moves no old user. `allowed` needs a share above 0.
    """
    open_splits: list[Split] = [split for split in shares if split in allowed and shares[split] > 0]
    assert open_splits, f"no open split among {allowed}"
    left = points / HASHES * sum(shares[split] for split in open_splits)
    chosen = np.full(points.size, len(open_splits) - 1)
    is_open = np.ones(points.size, bool)
    for place, split in enumerate(open_splits):
        left = left - shares[split]
        chosen[is_open & (left < 0)] = place
        is_open &= left >= 0
    return open_splits, chosen
