"""Texts that say nearly the same: all pairs whose Jaccard similarity reaches a threshold, and which of them stay.

Sets of runs of words are compared by prefix filtering (Xiao et al. 2008, "Efficient similarity joins for near duplicate
detection", PPJoin). Runs have one order, roughly from the rarest to the most frequent. Let x of n runs and y of m share
at least a similarity of t, and let the first run that they share be the i-th of x and the j-th of y, counted from 0.
Then they share at least o = t / (1 + t) * (n + m) runs, so n - i >= o and m - j >= o. A text therefore is looked up by
its rarest runs alone, and the smaller of two by fewer still: prompts below one long instruction meet by what is their
own. The pairs that are left are held against sketches of their sets, and decided by the sets themselves.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.duplicates.postings import Entries, Index, Numbers
from rlhf.collection.duplicates.shingles import Hashes

TOGETHER = 512  # texts that are looked up at once
READ = 4096  # texts whose runs are read at once
MOST = 20_000  # entries looked at for a text, by its rarest run first: of one with more than that, a pair may be missed
AT_ONCE = 1 << 20  # entries that are looked at at once
SLACK = 1e-9  # of similarities, for rounding
FEWEST_SLOTS, MOST_SLOTS = 1 << 16, 1 << 26  # in which runs are counted
HIGHEST_COUNT = 0xFFFF
SKETCH = 4  # words of 64 bits


class Runs(Protocol):
    """The runs of many texts, in memory or not: each text's in ascending order."""

    sizes: Numbers

    def between(self, start: int, stop: int) -> Hashes:
        """Return the runs of the texts start..stop-1, one text after another."""
        ...


class Near(NamedTuple):
    """Of each text, the earlier one that it is near to (-1: it stays); and how many have more entries than MOST."""

    rivals: Numbers
    cut: int


def near_runs(runs: Runs, threshold: float) -> Near:
    """Return which texts are near to an earlier one that is near to none itself."""
    if not runs.sizes.size:
        return Near(np.empty(0, np.int64), 0)
    threshold -= SLACK
    counts = _counts(runs)
    sketches = np.zeros((runs.sizes.size, SKETCH), np.uint64)
    prefixes = _prefixes(runs, counts, threshold, sketches)
    del counts
    return _Join(runs, prefixes, sketches, threshold).decide()


def _counts(runs: Runs) -> NDArray[np.uint16]:
    """Return about how many texts hold a run, by the last bits of its hash."""
    slots = min(max(FEWEST_SLOTS, 1 << int(runs.sizes.sum()).bit_length()), MOST_SLOTS)
    counts = np.zeros(slots, np.uint16)
    for _, _, hashes in _read(runs):
        slot, more = np.unique(hashes & np.uint32(slots - 1), return_counts=True)
        counts[slot] = np.minimum(counts[slot].astype(np.int64) + more, HIGHEST_COUNT)
    return counts


def _read(runs: Runs) -> Iterator[tuple[int, Numbers, Hashes]]:
    """Yield of READ texts at a time the first one's number, the sizes of all, and their runs."""
    for start in range(0, runs.sizes.size, READ):
        stop = min(start + READ, runs.sizes.size)
        yield start, runs.sizes[start:stop], runs.between(start, stop)


def _prefixes(runs: Runs, counts: NDArray[np.uint16], threshold: float, sketches: NDArray[np.uint64]) -> Entries:
    """Return the prefixes of all texts that another may be near to, and fill in their sketches.

    Runs that no other text has are left out; a text whose prefix holds only such runs is near to none.
    """
    parts: list[tuple[Numbers, Hashes, Numbers]] = []
    for start, sizes, hashes in _read(runs):
        owners = np.repeat(np.arange(sizes.size), sizes)
        count = counts[hashes & np.uint32(counts.size - 1)]
        shared = count > 1
        own = sizes - np.bincount(owners[shared], minlength=sizes.size)
        asked = own < _prefix(sizes, threshold)
        held = asked[owners]
        _sketch(sketches[start : start + sizes.size], owners[held], hashes[held])
        held &= shared
        key = np.sort(
            (owners[held].astype(np.uint64) << np.uint64(48))
            | (count[held].astype(np.uint64) << np.uint64(32))
            | hashes[held]
        )
        texts = (key >> np.uint64(48)).astype(np.int64)
        positions = np.arange(key.size) - np.searchsorted(texts, texts) + own[texts]
        kept = positions < _prefix(sizes, threshold)[texts]
        parts.append((texts[kept] + start, key[kept].astype(np.uint32), positions[kept]))
    texts, hashes, positions = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, tokens, holders = np.unique(hashes, return_inverse=True, return_counts=True)
    met = holders[tokens] > 1
    tokens = (np.cumsum(holders > 1) - 1)[tokens[met]]
    return Entries(texts[met], tokens, positions[met])


def _prefix(sizes: Numbers, share: float) -> Numbers:
    """Return how many of a text's rarest runs hold one that it shares with each text with which it shares so much."""
    return sizes - np.ceil(share * sizes).astype(np.int64) + 1


def _sketch(sketches: NDArray[np.uint64], owners: Numbers, hashes: Hashes) -> None:
    """Note of each set which of 64 * SKETCH bits an odd number of its runs fall on.

    Two sets differ in at least as many runs as their sketches do in bits.
    """
    if not hashes.size:
        return
    word, bit = (hashes >> np.uint32(6)) % np.uint32(SKETCH), np.uint64(1) << (hashes & np.uint32(63)).astype(np.uint64)
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    for number in range(SKETCH):
        sketches[owners[first], number] = np.bitwise_xor.reduceat(np.where(word == number, bit, np.uint64(0)), first)


class _Join:
    """Finds, text after text, the earlier one that stays and that a text is near to."""

    def __init__(self, runs: Runs, prefixes: Entries, sketches: NDArray[np.uint64], threshold: float) -> None:
        self._runs, self._prefixes, self._sketches, self._threshold = runs, prefixes, sketches, threshold
        self._least = threshold / (1 + threshold)  # of both texts' runs together, those that they share
        self._is_short = prefixes.positions < _prefix(runs.sizes, 2 * self._least)[prefixes.texts]
        tokens = int(prefixes.tokens.max(initial=-1)) + 1
        self._whole, self._short = Index(prefixes, tokens), Index(prefixes.where(self._is_short), tokens)
        self._rivals = np.full(runs.sizes.size, -1)
        self._cut = np.zeros(runs.sizes.size, bool)
        self._held: dict[int, Hashes] = {}  # runs of the texts compared last

    def decide(self) -> Near:
        texts = np.unique(self._prefixes.texts)
        for start in range(0, texts.size, TOGETHER):
            some = texts[start : start + TOGETHER]
            first, last = np.searchsorted(self._prefixes.texts, [some[0], some[-1] + 1])
            self._round(slice(int(first), int(last)))
        return Near(self._rivals, int(self._cut.sum()))

    def _round(self, part: slice) -> None:
        """Compare some texts with the earlier ones that stay, then those that are left with one another."""
        self._drop(self._pairs(*self._staying(part), of_this_round=False))
        whole, short = self._staying(part)
        self._whole.add(whole)
        self._short.add(short)
        self._drop(self._pairs(whole, short, of_this_round=True))
        if (self._rivals[whole.texts] >= 0).any():
            self._whole.take_back(whole)
            self._short.take_back(short)
            staying, shorter = self._staying(part)
            self._whole.add(staying)
            self._short.add(shorter)
        self._whole.end_round(whole)
        self._short.end_round(short)

    def _staying(self, part: slice) -> tuple[Entries, Entries]:
        """Return the prefixes of those texts that stay so far, whole and as far as a larger text needs them."""
        entries = self._prefixes.where(part)
        stays = self._rivals[entries.texts] < 0
        return entries.where(stays), entries.where(stays & self._is_short[part])

    def _pairs(self, whole: Entries, short: Entries, of_this_round: bool) -> Numbers:
        """Return (text << 32 | earlier text) of all pairs that may be near, in order: the larger one's whole prefix
        meets the smaller one's short one.
        """
        keys = [
            key
            for entries, index in ((whole, self._short), (short, self._whole))
            for some in self._portions(entries, index, of_this_round)
            for key in [self._candidates(some, index, of_this_round)]
        ]
        return np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64)

    def _portions(self, entries: Entries, index: Index, of_this_round: bool) -> Iterator[Entries]:
        """Yield entries that meet not much more than MOST others at a time; of a text that meets more, the first."""
        sizes = index.sizes(entries.tokens, of_this_round)
        met = np.cumsum(sizes)
        first = np.searchsorted(entries.texts, entries.texts)
        own = met - (met - sizes)[first]
        within = own <= MOST
        self._cut[entries.texts[~within]] = True
        portion = np.cumsum(np.where(within, sizes, 0)) // AT_ONCE
        wanted = within & (sizes > 0)
        for number in np.unique(portion[wanted]):
            yield entries.where(wanted & (portion == number))

    def _candidates(self, entries: Entries, index: Index, of_this_round: bool) -> Numbers:
        """Return (text << 32 | earlier text) of the pairs whose sizes, positions and sketches let them be near."""
        asked, rivals, places = index.meet(entries.tokens, of_this_round)
        texts = entries.texts[asked]
        sizes = self._runs.sizes
        both = sizes[texts] + sizes[rivals]
        least = np.ceil(self._least * both)
        left = np.minimum(sizes[texts] - entries.positions[asked], sizes[rivals] - places)
        kept = np.flatnonzero((rivals < texts) & (left >= least))
        different = np.bitwise_count(self._sketches[texts[kept]] ^ self._sketches[rivals[kept]]).sum(axis=1)
        kept = kept[different <= both[kept] - 2 * least[kept]]
        return np.unique((texts[kept] << 32) | rivals[kept])

    def _drop(self, pairs: Numbers) -> None:
        for start in range(0, pairs.size, READ):
            texts, rivals = pairs[start : start + READ] >> 32, pairs[start : start + READ] & 0xFFFFFFFF
            still = (self._rivals[texts] < 0) & (self._rivals[rivals] < 0)
            for text, rival in zip(texts[still].tolist(), rivals[still].tolist(), strict=True):
                stay = self._rivals[text] < 0 and self._rivals[rival] < 0
                if stay and self._similarity(text, rival) >= self._threshold:
                    self._rivals[text] = rival

    def _similarity(self, first: int, second: int) -> float:
        return similarity(self._of(first), self._of(second))

    def _of(self, text: int) -> Hashes:
        if text not in self._held:
            if len(self._held) >= TOGETHER:
                self._held.clear()
            self._held[text] = self._runs.between(text, text + 1)
        return self._held[text]


def similarity(first: Hashes, second: Hashes) -> float:
    """Return the Jaccard similarity: what two sets share, of all that they hold."""
    shared = np.intersect1d(first, second, assume_unique=True).size
    return shared / (first.size + second.size - shared)
