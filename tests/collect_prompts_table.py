"""Records made by hand -> what the stage makes of them behind reading: duplicates out, splits, files."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlhf.collection.duplicates.shingles import shingles
from rlhf.collection.sets.arranging import Writer, arrange
from rlhf.collection.sets.assigning import Assigned, assign, check_disjoint
from rlhf.collection.sets.dropping import Dropping
from rlhf.collection.splitting import held_out_first
from rlhf.collection.table import categories
from rlhf.collection.table.facts import DOCUMENTS, Facts
from rlhf.collection.table.gathering import Gathered
from rlhf.collection.table.spill import Spill
from rlhf.collection.table.tally import Tally
from rlhf.params.collect_prompts import SPLITS, CollectPrompts
from rlhf.records.json_values import parsed


class Result(NamedTuple):
    """[(record, split)], {source: {reason: rows}}, and the files' records."""

    assigned: list[tuple[dict[str, Any], str]]
    drops: Mapping[str, Counter[str]]
    files: dict[str, list[dict[str, Any]]]


class Table:
    """Records of sources on disk and their facts."""

    def __init__(self, records: Mapping[str, Iterable[Mapping[str, Any]]], params: CollectPrompts, seed: int = 1):
        self.params = params
        self._folder = tempfile.TemporaryDirectory()
        self.spill = Spill(Path(self._folder.name) / "spill").__enter__()
        sources = held_out_first(params.sources)
        self.tally = Tally([source.name for source in sources], self.spill)
        facts = Facts(params, seed)
        for number, source in enumerate(sources):
            for record in records.get(source.name, []):
                described = {"category": "unknown", "language": "en", "user": None} | dict(record)
                no_name = categories.is_no_name(described["category"])
                facts.add(described | {"category": categories.named(described["category"])}, number, no_name)
        self.spill.records.append(b"".join(facts.spilled))
        table = facts.table()
        if params.cleaning.near_duplicates is not None:
            runs = shingles(facts.prompts, params.cleaning.near_duplicates.shingle_words)
            self.spill.runs.append(runs.hashes.tobytes())
            table["runs"] = runs.sizes
        names = facts.names()
        nothing = np.empty(0, DOCUMENTS)
        self.gathered = Gathered(sources, {}, {}, table, *names, facts.responses(), nothing, self.tally)

    def close(self) -> None:
        self.spill.__exit__()
        self._folder.cleanup()

    def result(self) -> Result:
        facts = self.gathered.facts
        dropping = Dropping(facts, self.spill, self.tally)
        dropping.drop_all(self.params.cleaning)
        assigned = assign(facts, dropping.rows, self.gathered.sources, self.params, self.tally)
        check_disjoint(facts, assigned)
        rows = arrange(facts, assigned, self.gathered.sources)
        files = {name: self.records(name, some) for name, some in rows.items()}
        return Result(self.placed(assigned), self.tally.drops, files)

    def placed(self, assigned: Assigned) -> list[tuple[dict[str, Any], str]]:
        found = self.records("all", assigned.rows)
        return [(record, SPLITS[split]) for record, split in zip(found, assigned.splits, strict=True)]

    def records(self, name: str, rows: Any) -> list[dict[str, Any]]:
        every = {*self.gathered.categories}
        path = Path(self._folder.name) / "file"
        Writer(self.gathered, self.spill, every).write(path, name, rows)
        return [parsed(line, name) for line in path.read_text().splitlines()]


def result(records: Mapping[str, Iterable[Mapping[str, Any]]], params: CollectPrompts, seed: int = 1) -> Result:
    table = Table(records, params, seed)
    try:
        return table.result()
    finally:
        table.close()
