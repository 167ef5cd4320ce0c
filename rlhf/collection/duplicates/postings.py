"""An inverted index in arrays: which texts hold a run. What a round adds can be looked up by itself and taken back."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Entries(NamedTuple):
    """Runs of texts, text by text."""

    texts: Numbers
    tokens: Numbers  # a run's number
    positions: Numbers  # of the run among its text's, from the rarest

    def where(self, wanted: NDArray[np.bool_] | slice) -> "Entries":
        return Entries(self.texts[wanted], self.tokens[wanted], self.positions[wanted])


class Meetings(NamedTuple):
    """Entries of an index that were looked up, each beside the number of the entry by which."""

    asked: Numbers
    texts: NDArray[np.int32]
    positions: NDArray[np.int32]


class Index:
    """Room for all entries is set apart at the start, so that adding moves none."""

    def __init__(self, entries: Entries, tokens: int) -> None:
        room = np.bincount(entries.tokens, minlength=tokens)
        self._starts = np.cumsum(room) - room
        self._before, self._filled = np.zeros(
            (2, tokens), np.int32
        )  # up to where room was filled by earlier rounds, and is
        self._texts, self._positions = np.zeros((2, entries.tokens.size), np.int32)

    def add(self, entries: Entries) -> None:
        """Add entries in this round."""
        order = np.argsort(entries.tokens, kind="stable")
        tokens = entries.tokens[order]
        among_equal = np.arange(tokens.size) - np.searchsorted(tokens, tokens)
        places = self._starts[tokens] + self._filled[tokens] + among_equal
        self._texts[places], self._positions[places] = entries.texts[order], entries.positions[order]
        different, count = np.unique(tokens, return_counts=True)
        self._filled[different] += count.astype(np.int32)

    def take_back(self, entries: Entries) -> None:
        """Forget what this round added of these runs."""
        self._filled[entries.tokens] = self._before[entries.tokens]

    def end_round(self, entries: Entries) -> None:
        """Let what this round added of these runs be an earlier round's from now on."""
        self._before[entries.tokens] = self._filled[entries.tokens]

    def sizes(self, tokens: Numbers, of_this_round: bool) -> Numbers:
        """Return how many entries a look-up of each run meets."""
        before = self._before[tokens].astype(np.int64)
        return self._filled[tokens] - before if of_this_round else before

    def meet(self, tokens: Numbers, of_this_round: bool) -> Meetings:
        """Return the entries of these runs that earlier rounds added, or this one."""
        sizes = self.sizes(tokens, of_this_round)
        asked = np.repeat(np.arange(tokens.size), sizes)
        starts = self._starts[tokens] + (self._before[tokens] if of_this_round else 0)
        places = np.arange(asked.size) + (starts - np.cumsum(sizes) + sizes)[asked]
        return Meetings(asked, self._texts[places], self._positions[places])
