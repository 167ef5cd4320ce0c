"""Which prompts of a cell are no cases of their own: short ids of their tasks and of their subjects, kept with it."""

import hashlib
from collections.abc import Sequence

from rlhf.evaluation.controls import clusters
from rlhf.records import records
from rlhf.records.types import Comparison, Prompt
from study.probes import HONESTY, drawn
from study.workspace import Finished

CHARACTERS = 6  # of an id: 16^6 are enough for thousands of prompts
PARTS = ("validation", "judge")  # of the held-out comparisons


def of_cell(done: Finished, wanted: Sequence[str], asked: Sequence[Prompt]) -> dict[str, dict[str, list[str]]]:
    """Return the ids of all that a cell's measures keep one by one; `asked` are the prompts of its policies."""
    found = {}
    if {"policies", "policy"} & {*wanted}:
        found["prompts"] = ids(asked)
    if "reward_model" in wanted:
        for part in PARTS:
            found[part] = ids(records.read(done.held_out / f"comparisons.{part}.jsonl", Comparison))
    if "limits" in wanted:
        found |= {kind: ids(drawn(kind, done.settings.paraphrases)) for kind in HONESTY}
    return found


def ids(prompts: Sequence[Prompt | Comparison]) -> dict[str, list[str]]:
    """Return an id a prompt, by clustering; the same ones in every cell."""
    return {name: [_short(text) for text in texts] for name, texts in clusters.of(prompts)._asdict().items()}


def _short(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:CHARACTERS]
