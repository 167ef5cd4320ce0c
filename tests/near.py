"""Near duplicates among a few texts in memory."""

from collections.abc import Sequence

import numpy as np

from rlhf.collection.duplicates.near import near_runs
from rlhf.collection.duplicates.shingles import shingles
from rlhf.params.collect_prompts import NearDuplicates


class HeldRuns:
    """Runs in memory (see duplicates.near.Runs)."""

    def __init__(self, hashes, sizes):
        self.sizes, self._hashes = sizes, hashes
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def between(self, start, stop):
        return self._hashes[self._starts[start] : self._starts[stop]]


def near_texts(texts: Sequence[str], params: NearDuplicates) -> set[str]:
    """Return the texts whose similarity to an earlier one that stays is at least the threshold."""
    found = near_runs(HeldRuns(*shingles(texts, params.shingle_words)), params.threshold)
    return {texts[number] for number in np.flatnonzero(found.rivals >= 0).tolist()}
