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
    again. Raises Dropped where fewer than `min_responses` stay or no labeler prefers one to another.
    """
    first: dict[str, int] = {}
    for index, response in enumerate(comparison["responses"]):
        if _fits(response, limits):
            first.setdefault(response, index)
    kept = list(first.values())
    if len(kept) < params.min_responses:
        raise Dropped("too_few_responses")
    if len(kept) > params.max_responses:
        kept = sorted(random.Random(derive(seed, "responses", comparison["id"])).sample(kept, params.max_responses))
    labels = [_subset(label, kept) for label in comparison["labels"]]
    if all(len(set(label["ranks"])) == 1 for label in labels):
        raise Dropped("all_responses_tied")
    return {**comparison, "responses": [comparison["responses"][index] for index in kept], "labels": labels}


def _fits(response: str, limits: Limits) -> bool:
    try:
        check_response(response, limits)
    except Dropped:
        return False
    return True


def _subset(label: Label, kept: list[int]) -> Label:
    scores = label["scores"]
    return {
        **label,
        "ranks": ranks_of([-label["ranks"][index] for index in kept]),
        "scores": None if scores is None else [scores[index] for index in kept],
    }
