"""Given comparisons of K responses: leave out unusable responses, bound K, drop what orders nothing."""

import random

from rlhf.collection.cleaning import check_response
from rlhf.collection.dropped import Dropped
from rlhf.params.collect_prompts import Comparisons, Limits
from rlhf.records.records import ranks_of
from rlhf.records.types import Comparison, Label
from rlhf.runtime.seeds import derive


def within(comparison: Comparison, params: Comparisons, limits: Limits, seed: int) -> Comparison:
    """Return a comparison of at most `max_responses` different responses that keep the length limits.

    Where there are more, a subset drawn from the seed and the record's id stays, in its order; ranks are made dense
    again. Raises Dropped where fewer than `min_responses` stay (with what left the others out as its causes) or no
    labeler prefers one to another.
    """
    first: dict[str, int] = {}
    left_out: set[str] = set()
    for index, response in enumerate(comparison["responses"]):
        reason = _unfit(response, limits)
        if reason or response in first:
            left_out.add(reason or "equal_response")
        else:
            first[response] = index
    kept = list(first.values())
    if len(kept) < params.min_responses:
        raise Dropped("too_few_responses", sorted(left_out) or ["none_left_out"])
    if len(kept) > params.max_responses:
        kept = sorted(random.Random(derive(seed, "responses", comparison["id"])).sample(kept, params.max_responses))
    labels = [_subset(label, kept) for label in comparison["labels"]]
    if all(len(set(label["ranks"])) == 1 for label in labels):
        raise Dropped("all_responses_tied")
    return {**comparison, "responses": [comparison["responses"][index] for index in kept], "labels": labels}


def _unfit(response: str, limits: Limits) -> str | None:
    """Return why a response cannot be used; None if it can."""
    try:
        check_response(response, limits)
    except Dropped as dropped:
        return str(dropped)
    return None


def _subset(label: Label, kept: list[int]) -> Label:
    scores = label["scores"]
    return {
        **label,
        "ranks": ranks_of([-label["ranks"][index] for index in kept]),
        "scores": None if scores is None else [scores[index] for index in kept],
    }
