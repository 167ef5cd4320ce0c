"""Which test prompts are no cases of their own: those of one task, and those about one subject.

The embedded world asks the same thing in several wordings, and asks about few animals, groups and harms. An answer that
is right for one such prompt is mostly right for all, so that a bootstrap over prompts alone is too narrow.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from rlhf.evaluation import verdicts
from rlhf.records.types import Prompt

# slots of a task that say what it is about; the first that a task has is its subject
SUBJECTS = ("animal", "word", "category", "harm", "act", "about", "verb", "object", "verdict", "what", "stems")


class Clusters(NamedTuple):
    """An id a prompt: equal ones are of one task, or about one subject."""

    tasks: list[str]
    subjects: list[str]


def of(prompts: Sequence[Prompt]) -> Clusters:
    """Return the clusters of some prompts."""
    return Clusters([_task(prompt) for prompt in prompts], [_subject(prompt) for prompt in prompts])


def _task(prompt: Prompt) -> str:
    """Return what is asked: equal tasks, and without tasks equal turns, are one."""
    return json.dumps(prompt["task"] if "task" in prompt else prompt["messages"], sort_keys=True)


def _subject(prompt: Prompt) -> str:
    """Return kind, language and subject of a task; a kind that names none is one subject.

    A prompt without a task is its own.
    """
    if "task" not in prompt:
        return _task(prompt)
    task = prompt["task"]
    about = next((task[slot] for slot in SUBJECTS if slot in task), None)
    return json.dumps([verdicts.kind(prompt), task.get("language"), about])
