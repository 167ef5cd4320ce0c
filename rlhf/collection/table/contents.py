"""What the written files hold, in numbers, for the data card and the metrics."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.table.categories import OTHER
from rlhf.collection.table.facts import Rows
from rlhf.collection.table.gathering import Gathered

QUANTILES = {"p5": 0.05, "p50": 0.5, "p95": 0.95, "max": 1.0}


class Contents(NamedTuple):
    """Counts of records and users by file, of all different prompts by language and category, and lengths."""

    records: dict[str, int]
    users: dict[str, int]
    prompts: int
    languages: dict[str, int]
    categories: dict[str, int]
    characters: dict[str, dict[str, int]]  # of a kind of text: quantiles
    judge_has_tasks: bool = False  # simulated labelers know a prompt of the split judge
    ranked_has_tasks: bool = False  # they know one whose answers may be ranked for the reward model


def contents(gathered: Gathered, files: Mapping[str, Rows], documents: Mapping[str, Rows], kept: set[str]) -> Contents:
    """Return what files of records and of documents hold; `kept`: the categories that are not "other"."""
    facts = gathered.facts
    rows = np.unique(np.concatenate([*files.values(), np.empty(0, np.int64)]))
    judged = files.get("prompts.judge", rows[:0])
    ranked = [files.get(name, rows[:0]) for name in ("prompts.reward_model", "demonstrations.train")]
    return Contents(
        {name: int(found.size) for name, found in [*documents.items(), *files.items()]},
        {name: np.unique(users[users != 0]).size for name, found in files.items() for users in [facts["user"][found]]},
        int(rows.size),
        _counts(facts["language"][rows], gathered.languages),
        _counts(facts["category"][rows], [name if name in kept else OTHER for name in gathered.categories]),
        _characters(gathered, rows, files, documents),
        bool(facts["has_task"][judged].any()),
        bool(facts["has_task"][np.concatenate(ranked)].any()),
    )


def _counts(places: NDArray[np.int32], names: list[str]) -> dict[str, int]:
    found = Counter[str]()
    for place, count in zip(*np.unique(places, return_counts=True), strict=True):
        found[names[place]] += int(count)
    return dict(sorted(found.items()))


def _characters(
    gathered: Gathered, rows: Rows, files: Mapping[str, Rows], documents: Mapping[str, Rows]
) -> dict[str, dict[str, int]]:
    facts = gathered.facts
    counts = facts["responses"].astype(np.int64)
    compared = _of(files, "comparisons")
    starts = (np.cumsum(counts) - counts)[compared]
    within = np.arange(int(counts[compared].sum())) - np.repeat(
        np.cumsum(counts[compared]) - counts[compared], counts[compared]
    )
    lengths = {
        "prompt": facts["characters"][rows],
        "demonstration": facts["answer_characters"][_of(files, "demonstrations")],
        "comparison_response": gathered.responses[np.repeat(starts, counts[compared]) + within],
        "document": gathered.documents["characters"][_of(documents, "documents")],
    }
    return {name: _quantiles(found) for name, found in lengths.items() if found.size}


def _of(files: Mapping[str, Rows], kind: str) -> Rows:
    return np.concatenate([np.empty(0, np.int64), *(rows for name, rows in files.items() if name.startswith(kind))])


def _quantiles(lengths: NDArray[np.uint32]) -> dict[str, int]:
    ordered = np.sort(lengths)
    return {name: int(ordered[round(share * (ordered.size - 1))]) for name, share in QUANTILES.items()}
