"""The records that stages hand to one another, one JSON object a line, read with errors that name the line.

prompt         id, messages (system/user/assistant turns, a user turn last), category, language, user, source, [task]
demonstration  a prompt and `response` (the assistant turn that a labeler wrote)
comparison     a prompt and `responses` (K strings) and `labels`: a list of {labeler, ranks, [scores]} with K ranks each
               (1 = best, equal ranks are ties) and K scores (higher is better) or null; [gold]: K gold scores
document       text, source
`task` is the embedded world's own description of what the prompt asks; only the gold labeler reads it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from rlhf.records.types import Kind
from rlhf.runtime.files import write_text

Record = dict[str, Any]


def read(path: Path, kind: type[Kind]) -> list[Kind]:
    """Return a JSONL file of records of one kind. Raises ValueError naming file, line and column of a broken one."""
    return list(_parse_lines(path))


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records as JSONL, atomically; returns how many."""
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def pairs(ranks: list[int]) -> list[tuple[int, int]]:
    """Return (better, worse) index pairs of one ranking, ties dropped (Ouyang et al. 2022, App. C.2)."""
    ordered = []
    for first, second in combinations(range(len(ranks)), 2):
        if ranks[first] != ranks[second]:
            ordered.append((first, second) if ranks[first] < ranks[second] else (second, first))
    return ordered


def ranks_of(scores: list[float]) -> list[int]:
    """Return dense ranks of scores: 1 for the highest, equal scores share a rank."""
    distinct = sorted(set(scores), reverse=True)
    return [distinct.index(score) + 1 for score in scores]


def _parse_lines(path: Path) -> Iterator[Any]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: line {number}, byte {error.start + 1}: not valid UTF-8") from None
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}: line {number}, column {error.colno}: not valid JSON: {error.msg}") from None
            if not isinstance(record, dict):
                raise ValueError(f"{path}: line {number}: expected a JSON object, got {type(record).__name__}")
            yield record
