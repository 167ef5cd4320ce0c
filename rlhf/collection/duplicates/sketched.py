"""Near duplicates as they were found when the default's figures were measured: pairs proposed by MinHash (Broder 1997),
decided by their runs of words themselves, of which symbols are none.

It misses a pair at the threshold with a probability of a third, and holds all texts in memory. It is kept for one
reason: figures that were published of the default, some of them by others, are of these prompts. A params.yaml asks for
it by `permutations`; without that all pairs are found (`near`). It goes when the default is measured anew.

Where very many texts share a sketch's part, a text is compared only with those that share one of its rarest runs, as
all its near duplicates do (prefix filtering: Xiao et al. 2008).
"""

import zlib
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.cleaning import words
from rlhf.params.collect_prompts import NearDuplicates

Runs = NDArray[np.uint32]  # hashes of the different runs of words of a text
Keys = tuple[bytes, ...]  # one a band of its sketch: texts that share one are proposed as a pair

FEW = 64  # proposed rivals that are all compared
MOST = 1000  # looked up by rare runs for a text: of one with more rivals than that, a near duplicate may stay
SLOTS = 1 << 20  # in which runs are counted
AT_A_TIME = 4096  # runs that are sketched together
SLACK = 1e-6  # of sizes, for rounding


def near(texts: Iterable[str], params: NearDuplicates, permutations: int) -> set[str]:
    """Return the texts whose Jaccard similarity to an earlier one that stays is at least the threshold.

    MinHash with locality-sensitive hashing proposes pairs; word shingles themselves decide, so a text is never dropped
    by an error of the estimate.
    """
    known = list(texts)
    runs = [runs_of(text, params.shingle_words) for text in known]
    keys = list(_keys(runs, params.threshold, permutations))
    buckets: defaultdict[bytes, list[int]] = defaultdict(list)
    rare = RareRuns(runs, params.threshold)
    dropped: set[str] = set()
    for number, own in enumerate(keys):
        proposed = [buckets[key] for key in own]
        if sum(map(len, proposed)) <= FEW:
            rivals = iter(set[int]().union(*proposed))
        else:
            for key in own:
                rare.add(key, buckets[key])
            rivals = (rival for rival in rare.sharing(number) if not set(own).isdisjoint(keys[rival]))
        if any(similarity(runs[number], runs[rival]) >= params.threshold for rival in rivals):
            dropped.add(known[number])
        else:
            for bucket in proposed:
                bucket.append(number)
    return dropped


def runs_of(text: str, size: int) -> Runs:
    """Return 32-bit hashes of all runs of `size` words; a text of fewer words is one run."""
    found = words(text) or [text]
    starts = range(max(1, len(found) - size + 1))
    different = {zlib.crc32("\0".join(found[start : start + size]).encode()) for start in starts}
    return np.fromiter(different, np.uint32, len(different))


def similarity(first: Runs, second: Runs) -> float:
    """Return the Jaccard similarity: what two sets share, of all that they hold."""
    shared = np.intersect1d(first, second, assume_unique=True).size
    return shared / (first.size + second.size - shared)


class RareRuns:
    """Finds, by a text's rarest runs, those of the texts added that can reach the threshold with it.

    Runs have one order, from the rarest in all texts to the most frequent. Let the first that x of n runs and y of m
    share be the i-th of x and the j-th of y, counted from 0. Then they share at most n - i and m - j runs, and a
    similarity of t takes t / (1 + t) * (n + m). So m is at most what `_reach` says of n and i, and n what it says of m
    and j.
    """

    def __init__(self, runs: list[Runs], threshold: float) -> None:
        self._runs, self._threshold = runs, threshold
        self._frequency: NDArray[np.int64] | None = None  # counted when it is first asked for
        self._added: set[int] = set()
        self._read: defaultdict[bytes, int] = defaultdict(int)  # of each bucket
        self._holders: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)  # farthest reach first

    def add(self, key: bytes, bucket: list[int]) -> None:
        """Add the texts of a bucket; it only grows, and what was read of it is not read again."""
        for number in islice(bucket, self._read[key], None):
            if number not in self._added:
                self._added.add(number)
                for run, reach in self._rarest(number):
                    insort(self._holders[run], (-reach, number))
        self._read[key] = len(bucket)

    def sharing(self, number: int) -> Iterator[int]:
        """Yield those among the MOST texts looked up, by the rarest run first, that can reach the threshold."""
        seen: set[int] = set()
        for rival, reach in islice(self._holding(number), MOST):
            if self._runs[rival].size <= reach and rival not in seen:
                seen.add(rival)
                yield rival

    def _holding(self, number: int) -> Iterator[tuple[int, float]]:
        size = self._runs[number].size
        for run, reach in self._rarest(number):
            for negative_reach, rival in self._holders.get(run, ()):
                if size > -negative_reach:
                    break
                yield rival, reach

    def _rarest(self, number: int) -> Iterator[tuple[int, float]]:
        """Yield the runs of a text by which another can be found, the rarest first, and the size that it may have."""
        runs = self._runs[number]
        order = np.lexsort((runs, self._counts()[runs % SLOTS]))
        for position, run in enumerate(runs[order].tolist()):
            reach = _reach(runs.size, position, self._threshold)
            if reach < self._threshold * runs.size - SLACK:  # nothing so small can be near
                return
            yield run, reach

    def _counts(self) -> NDArray[np.int64]:
        if self._frequency is None:
            self._frequency = np.zeros(SLOTS, np.int64)
            for runs in self._runs:
                self._frequency[runs % SLOTS] += 1
        return self._frequency


def _reach(size: int, position: int, threshold: float) -> float:
    return (size - position) * (1 + threshold) / threshold - size + SLACK


def _keys(texts: list[Runs], threshold: float, permutations: int) -> Iterator[Keys]:
    from datasketch import MinHash  # pyright: ignore[reportMissingTypeStubs]  # it has none

    bands, rows = _bands(threshold, permutations)
    empty: Any = MinHash(num_perm=permutations, seed=1, hashfunc=_unchanged)
    for runs in texts:
        sketch = empty.copy()
        for start in range(0, runs.size, AT_A_TIME):
            sketch.update_batch(runs[start : start + AT_A_TIME].tolist())
        values: Any = sketch.hashvalues
        parts = (values[band * rows : (band + 1) * rows].tobytes() for band in range(bands))
        yield tuple(blake2b(part, digest_size=8, salt=bytes([band])).digest() for band, part in enumerate(parts))


def _bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Return the number of bands and of permutations in each that find most pairs at the threshold."""
    from datasketch import MinHashLSH  # pyright: ignore[reportMissingTypeStubs]

    recall_first = (0.2, 0.8)
    try:
        index: Any = MinHashLSH(threshold=threshold, num_perm=permutations, weights=recall_first)
    except ValueError:  # one band would do for so high a threshold: it wants two, which find no fewer
        return 2, permutations // 2
    return index.b, index.r


def _unchanged(number: int) -> int:
    return number
