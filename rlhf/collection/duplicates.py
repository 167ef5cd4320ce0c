"""Prompts that say the same: equal up to case and spacing, equal in a long prefix, or nearly equal by MinHash."""

import zlib
from collections.abc import Iterable
from typing import Any

from rlhf.collection.cleaning import words
from rlhf.params.collect_prompts import NearDuplicates
from rlhf.records.types import DialogueRecord


def folded(text: str) -> str:
    """Return text as it is compared: case-folded, every run of white space one space."""
    return " ".join(text.casefold().split())


def prompt_text(record: DialogueRecord) -> str:
    """Return the folded text of all turns; a single user turn stands for itself."""
    messages = record["messages"]
    if len(messages) == 1:
        return folded(messages[0]["content"])
    return folded("\n".join(f"{turn['role']}: {turn['content']}" for turn in messages))


def long_prefixes(texts: Iterable[str], characters: int) -> set[str]:
    """Return the texts whose first `characters` equal those of an earlier text; shorter texts equal no other's."""
    first: dict[str, str] = {}
    repeated: set[str] = set()
    for text in texts:
        if first.setdefault(text[:characters], text) != text:
            repeated.add(text)
    return repeated


def near(texts: Iterable[str], params: NearDuplicates) -> set[str]:
    """Return the texts whose Jaccard similarity to an earlier one that stays is at least the threshold.

    MinHash with locality-sensitive hashing proposes pairs (Broder 1997); word shingles themselves decide, so a text is
    never dropped by an error of the estimate.
    """
    from datasketch import MinHash, MinHashLSH  # pyright: ignore[reportMissingTypeStubs]  # it has none

    recall_first = (0.2, 0.8)
    index: Any = MinHashLSH(threshold=params.threshold, num_perm=params.permutations, weights=recall_first)
    empty: Any = MinHash(num_perm=params.permutations, seed=1, hashfunc=_unchanged)
    dropped: set[str] = set()
    for text in texts:
        shingles = _shingles(text, params.shingle_words)
        sketch = empty.copy()
        sketch.update_batch(sorted(shingles))
        rivals = (_shingles(rival, params.shingle_words) for rival in index.query(sketch))
        if any(_jaccard(shingles, rival) >= params.threshold for rival in rivals):
            dropped.add(text)
        else:
            index.insert(text, sketch)
    return dropped


def _shingles(text: str, size: int) -> set[int]:
    """Return 32-bit hashes of all runs of `size` words; a text of fewer words is one run."""
    found = words(text) or [text]
    runs = range(max(1, len(found) - size + 1))
    return {zlib.crc32("\0".join(found[start : start + size]).encode()) for start in runs}


def _jaccard(first: set[int], second: set[int]) -> float:
    return len(first & second) / len(first | second)


def _unchanged(number: int) -> int:
    return number
