"""How good a reward model is: held-out accuracy beside its ceiling and a baseline, calibration, taste for length."""

from collections.abc import Sequence

import torch

from rlhf.models.reward_head import RewardMeaning
from rlhf.preferences import agreement, tfidf_baseline
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Comparison

GOLD_TIE = 0.02  # gold scores closer than this are equal


def measure(
    scorer: RewardScorer, training: Sequence[Comparison], held_out: Sequence[Comparison]
) -> tuple[dict, list[dict]]:
    """Return held-out accuracy beside the agreement ceiling and the TF-IDF baseline, calibration and length bias."""
    scores, _ = score_comparisons(scorer, held_out)
    baseline = tfidf_baseline.scores(training, held_out)
    accuracy, num_pairs = agreement.with_labels(held_out, scores)
    shift_free = 1.0 / RewardMeaning.of(scorer.model.config).gain
    margins, longer_chosen, longer_preferred = [], 0, 0
    for comparison, own in zip(held_out, scores, strict=True):
        lengths = [len(response) for response in comparison["responses"]]
        for label in comparison["labels"]:
            for better, worse in records.pairs(label["ranks"]):
                margins.append((own[better] - own[worse]) * shift_free)
                longer_chosen += lengths[better] > lengths[worse]
                longer_preferred += (lengths[better] > lengths[worse]) == (own[better] > own[worse])
    error, bins = calibration(margins)
    metrics = {
        "accuracy": accuracy,
        "pairs": num_pairs,
        "tfidf_accuracy": agreement.with_labels(held_out, baseline)[0],
        "by_category": by_category(held_out, scores, baseline),
        "calibration_error": error,
        "longer_chosen_by_labelers": longer_chosen / len(margins),
        "longer_preferred_by_model": longer_preferred / len(margins),
    }
    ceiling = agreement.between_labelers([*training, *held_out])
    if "agreement" in ceiling:
        metrics["labelers_agreement"] = ceiling["agreement"]
    known = [index for index, comparison in enumerate(held_out) if "gold" in comparison]
    accuracy, num_pairs = agreement.with_gold(
        [held_out[index] for index in known], [scores[index] for index in known], GOLD_TIE
    )
    if num_pairs:
        metrics |= {"gold_accuracy": accuracy, "gold_pairs": num_pairs}
    return metrics, bins


def by_category(
    held_out: Sequence[Comparison], scores: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]
) -> dict[str, dict]:
    """Return accuracy on labelers' pairs, its baseline and the number of pairs of each category that has pairs."""
    measured = {}
    for category in sorted({comparison["category"] for comparison in held_out}):
        chosen = [index for index, comparison in enumerate(held_out) if comparison["category"] == category]
        inside = [held_out[index] for index in chosen]
        accuracy, num_pairs = agreement.with_labels(inside, [scores[index] for index in chosen])
        if num_pairs:
            compared = agreement.with_labels(inside, [baseline[index] for index in chosen])[0]
            measured[category] = {"accuracy": accuracy, "tfidf_accuracy": compared, "pairs": num_pairs}
    return measured


def score_comparisons(scorer: RewardScorer, comparisons: Sequence[Comparison]) -> tuple[list[list[float]], list[float]]:
    """Return scores as K numbers a comparison, and the same in one flat list."""
    flat = scorer.score_texts(
        [comparison["messages"] for comparison in comparisons for _ in comparison["responses"]],
        [response for comparison in comparisons for response in comparison["responses"]],
    )
    waiting = iter(flat)
    return [[next(waiting) for _ in comparison["responses"]] for comparison in comparisons], flat


def calibration(margins: list[float], num_bins: int = 10) -> tuple[float, list[dict]]:
    """Return the expected calibration error and its bins for pairs that labelers ordered.

    `margins` are r_better - r_worse. The model's claim is p = sigmoid(|margin|); it is right where margin > 0. Bins
    part [0.5, 1] evenly; the error is the mean of |claim - share right| over pairs (Guo et al. 2017).
    """
    claims = torch.tensor(margins).abs().sigmoid()
    right = torch.tensor(margins) > 0
    which = ((claims - 0.5) * 2 * num_bins).long().clamp(max=num_bins - 1)
    bins, error = [], 0.0
    for number in range(num_bins):
        inside = which == number
        if inside.any():
            claim, share = claims[inside].mean().item(), right[inside].float().mean().item()
            error += abs(claim - share) * inside.float().mean().item()
            bins.append({"claimed": claim, "measured": share, "pairs": int(inside.sum())})
    return error, bins
