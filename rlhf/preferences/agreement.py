"""How often rankings agree: labelers with one another, and any scores with labelers. Ties are left out."""

from collections.abc import Sequence
from itertools import combinations

from rlhf.records.records import pairs


def between_labelers(comparisons: list[dict]) -> dict:
    """Return the share of pairs on which two labelers of one prompt agree, of those that both have ordered.

    {} where no prompt has two labelers. Also the labelers' agreement with gold, where gold is known.
    """
    agreed = ordered = 0
    for comparison in comparisons:
        for first, second in combinations(comparison["labels"], 2):
            order = set(pairs(first["ranks"]))
            for better, worse in pairs(second["ranks"]):
                if (better, worse) in order or (worse, better) in order:
                    ordered += 1
                    agreed += (better, worse) in order
    metrics = {"agreement": agreed / ordered, "agreement_pairs": ordered} if ordered else {}
    with_gold = [comparison for comparison in comparisons if "gold" in comparison]
    if with_gold:
        share, num_pairs = with_labels(with_gold, [comparison["gold"] for comparison in with_gold])
        metrics |= {"agreement_with_gold": share, "agreement_with_gold_pairs": num_pairs}
    return metrics


def with_labels(comparisons: list[dict], scores: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return (share, number) of the labelers' ordered pairs that the scores order the same way; equal scores left out.

    `scores` holds K numbers a comparison. The share is 0.5 where there is no such pair.
    """
    agreed = ordered = 0
    for comparison, own in zip(comparisons, scores, strict=True):
        for label in comparison["labels"]:
            for better, worse in pairs(label["ranks"]):
                if own[better] != own[worse]:
                    ordered += 1
                    agreed += own[better] > own[worse]
    return (agreed / ordered if ordered else 0.5), ordered


def with_gold(comparisons: list[dict], scores: Sequence[Sequence[float]], threshold: float) -> tuple[float, int]:
    """Return (share, number) of pairs that gold orders by more than `threshold` and the scores order alike."""
    agreed = ordered = 0
    for comparison, own in zip(comparisons, scores, strict=True):
        golds = comparison["gold"]
        for first, second in combinations(range(len(golds)), 2):
            if abs(golds[first] - golds[second]) > threshold:
                ordered += 1
                agreed += (golds[first] > golds[second]) == (own[first] > own[second])
    return (agreed / ordered if ordered else 0.5), ordered
