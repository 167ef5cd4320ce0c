"""Rows that are dropped: how many of each source for which reason, and a few of them to look at."""

from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

import numpy as np

from rlhf.collection.batches.work import SAMPLES, Batch, Sample, shortened, shown_beside
from rlhf.collection.dropped import Drops
from rlhf.collection.table.facts import Rows, Table, decode, parsed_part
from rlhf.collection.table.spill import Spill


class Tally:
    """Counts drops by source. `sources`: their names in the order of reading."""

    def __init__(self, sources: Sequence[str], spill: Spill) -> None:
        self.drops: Drops = {name: Counter[str]() for name in sources}
        self.causes: Drops = {name: Counter[str]() for name in sources}  # of comparisons without answers
        self.masked: Drops = {name: Counter[str]() for name in sources}  # rows by kind of personal data
        self.samples: dict[str, list[Sample]] = {}
        self._sources, self._spill = sources, spill

    def add(self, batch: Batch) -> None:
        """Count what a batch dropped."""
        name = self._sources[batch.source]
        self.drops[name].update(batch.drops)
        self.causes[name].update(batch.causes)
        self.masked[name].update(batch.masked)
        for reason, found in batch.samples.items():
            self._show(reason, found)

    def drop(self, table: Table, rows: Rows, reason: str, rivals: Rows | None = None) -> None:
        """Count rows of a table; each of `rivals` is what the row beside it is near to."""
        if not rows.size:
            return
        self._count(table, rows, reason)
        first = np.argsort(table["order"][rows], kind="stable")[:SAMPLES]
        near = [""] * SAMPLES if rivals is None else [self._text(row) for row in self._heads(table, rivals[first])]
        orders: list[int] = table["order"][rows[first]].tolist()
        for order, own, rival in zip(orders, self._heads(table, rows[first]), near, strict=False):
            self._show(reason, [Sample(order, own["id"], *shown_beside(self._text(own), rival))])

    def drop_documents(self, table: Table, rows: Rows, reason: str) -> None:
        """Count documents, of which the rows are the first pieces."""
        self._count(table, rows, reason)
        first = table[rows[np.argsort(table["document"][rows], kind="stable")[:SAMPLES]]]
        columns = (first[name].tolist() for name in ("document", "source", "offset", "size"))
        for order, source, offset, size in zip(*columns, strict=True):
            text = decode(self._spill.documents.read(offset, size))["text"]
            self._show(reason, [Sample(order, f"a document of {self._sources[source]}", shortened(text))])

    def _count(self, table: Table, rows: Rows, reason: str) -> None:
        counts: list[int] = np.bincount(table["source"][rows], minlength=len(self._sources)).tolist()
        for name, count in zip(self._sources, counts, strict=True):
            if count:
                self.drops[name][reason] += count

    def _show(self, reason: str, found: Iterable[Sample]) -> None:
        self.samples[reason] = nsmallest(SAMPLES, [*self.samples.get(reason, []), *found])

    def _heads(self, table: Table, rows: Rows) -> list[dict[str, Any]]:
        offsets, sizes = table["offset"][rows].tolist(), table["head"][rows].tolist()
        return [parsed_part(self._spill.records.read(start, size)) for start, size in zip(offsets, sizes, strict=True)]

    def _text(self, head: dict[str, Any]) -> str:
        return head["messages"][-1]["content"]
