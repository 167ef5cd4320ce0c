"""Files of records, one JSON object a line, read with errors that name the line; and what rankings say in pairs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Generic

from rlhf.params.base import shown
from rlhf.records.json_values import is_object, parsed
from rlhf.records.types import Kind, name_of
from rlhf.runtime.files import write_text

FOR_A_JUDGE = 10  # comparisons that are set aside, at least: some train the judge, and some measure it


def read(path: Path, kind: type[Kind]) -> list[Kind]:
    """Return a JSONL file of records of one kind.

    Raises ValueError naming file, line and column of a broken line, and of a record of another kind.
    """
    return list(_parse_lines(path, name_of(kind)))


class Stored(Generic[Kind]):
    """The same records, read from their file anew by everyone who walks through them: none of them is held."""

    def __init__(self, path: Path, kind: type[Kind]) -> None:
        self._path, self._kind = path, name_of(kind)
        self._length: int | None = None

    def __iter__(self) -> Iterator[Kind]:
        yield from _parse_lines(self._path, self._kind)

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length

    def __contains__(self, record: object) -> bool:
        return any(record == one for one in self)


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records as JSONL, atomically; returns how many."""
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def pairs(ranks: list[int]) -> list[tuple[int, int]]:
    """Return (better, worse) index pairs of one ranking, ties dropped (Ouyang et al. 2022, App. C.2)."""
    ordered: list[tuple[int, int]] = []
    for first, second in combinations(range(len(ranks)), 2):
        if ranks[first] != ranks[second]:
            ordered.append((first, second) if ranks[first] < ranks[second] else (second, first))
    return ordered


def ranks_of(scores: list[float]) -> list[int]:
    """Return dense ranks of scores: 1 for the highest, equal scores share a rank."""
    rank = {score: number for number, score in enumerate(sorted(set(scores), reverse=True), start=1)}
    return [rank[score] for score in scores]


def _parse_lines(path: Path, kind: str) -> Iterator[Any]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: line {number}, byte {error.start + 1}: not valid UTF-8") from None
            record = parsed(text, f"{path}: line {number}")
            if not is_object(record):
                raise ValueError(f"{path}: line {number}: expected a JSON object, got {type(record).__name__}")
            if record.get("kind") != kind:
                found = shown(record["kind"]) if "kind" in record else "no field 'kind'"
                raise ValueError(f"{path}: line {number}: expected a record of kind '{kind}', got {found}")
            yield record
