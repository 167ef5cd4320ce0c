"""What labelers get, and what they give: answered prompts, and labels on them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlhf.records.types import Dialogue, Label


class Answered(NamedTuple):
    """A prompt and K different responses to it."""

    prompt: Dialogue
    responses: list[str]


class Labelled(NamedTuple):
    """A prompt, those of its responses that were judged, and the labels on them."""

    prompt: Dialogue
    responses: list[str]
    labels: list[Label]


class Ranking(NamedTuple):
    """What a labeler made of some answered prompts, in their order; which were dropped stands in the counts."""

    labelled: Sequence[Labelled]
    counts: dict[str, Any]  # metrics; {} where there is nothing to say
