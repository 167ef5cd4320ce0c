"""One reward model from comparisons to a normalised, measured folder: what `reward_model` and `judge` do alike."""

from pathlib import Path

import torch

from rlhf.models import loading, reward_head
from rlhf.params.reward_model import RewardModel
from rlhf.params.runtime import Runtime
from rlhf.preferences import agreement, preference_training, rewards, tfidf_baseline
from rlhf.records import records
from rlhf.runs import checkpoints
from rlhf.runtime import seeds
from rlhf.runtime.files import new_folder

GOLD_TIE = 0.02  # gold scores closer than this are equal


def fit(
    root: Path,
    out: Path,
    training: list[dict],
    held_out: list[dict],
    params: RewardModel,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States,
    run,
) -> tuple[dict, list[dict], list[dict]]:
    """Train, normalise, save to `out` and measure; returns (metrics, curve, calibration bins).

    Raises ValueError where held-out comparisons order no two answers: there would be nothing to measure by.
    """
    if not any(records.pairs(label["ranks"]) for comparison in held_out for label in comparison["labels"]):
        raise ValueError(f"no labeler ranked two answers apart in the {len(held_out)} held-out comparisons; add more")
    backbone = backbone_of(root, params)
    tokenizer = loading.read_tokenizer(root / "data/sft" if params.backbone == "base" else backbone)
    generator = torch.Generator().manual_seed(seeds.derive(seed, "head"))
    model = reward_head.new_reward_model(backbone, runtime, generator)
    model.config.pad_token_id = tokenizer.pad_token_id
    groups = preference_training.encode(tokenizer, training[: params.max_comparisons], params)
    num_steps = preference_training.count_steps(groups, params)
    curve = []
    for point in preference_training.train(model, tokenizer.pad_token_id, groups, params, runtime, seed, states):
        curve.append(point)
        run.log_metrics(point, step=point["step"])
        run.progress(point["step"], num_steps, {"loss": point["loss"], "accuracy": point["accuracy"]})
    save(model, tokenizer, out, shift=0.0, gain=1.0, params=params)
    normalise(root, out, training, params, runtime)
    scorer = rewards.RewardScorer(out, runtime)
    metrics, bins = measure(scorer, training, held_out, params)
    return metrics | {"training_prompts": len(groups)}, curve, bins


def backbone_of(root: Path, params: RewardModel) -> Path:
    """Return the folder that training starts from."""
    paths = {"sft": root / "data/sft", "base": root / "data/pretrain", "encoder": Path(params.encoder_path or "")}
    return paths[params.backbone]


def normalise(root: Path, out: Path, training: list[dict], params: RewardModel, runtime: Runtime) -> None:
    """Write into the folder's config the shift that makes demonstrations score 0 on average, and the gain.

    Ouyang et al. 2022, App. C.2 (shift); Ziegler et al. 2019 (unit standard deviation, here over training answers).
    """
    scorer = rewards.RewardScorer(out, runtime)
    demonstrations = records.read(root / "data/collect_prompts/demonstrations.train.jsonl")
    raw = scorer.score_texts(
        [record["messages"] for record in demonstrations], [record["response"] for record in demonstrations]
    )
    shift, gain = sum(raw) / len(raw), 1.0
    if params.unit_std:
        spread = torch.tensor(score_comparisons(scorer, training[:500])[1]).std().item()
        gain = 1.0 / max(spread, 1e-6)
    save(scorer.model, scorer.tokenizer, out, shift, gain, params)


def save(model, tokenizer, out: Path, shift: float, gain: float, params: RewardModel) -> None:
    """Write the folder: score = (activation(raw) - reward_shift) * reward_gain, raw by `sequence_rewards`."""
    model.config.reward_activation = "sigmoid" if params.loss == "direct" else "identity"
    model.config.reward_pooling, model.config.reward_likelihood_coef = params.pooling, params.likelihood_coef
    model.config.reward_shift, model.config.reward_gain = shift, gain
    with new_folder(out) as folder:
        loading.save(model, tokenizer, folder)


def measure(scorer, training: list[dict], held_out: list[dict], params: RewardModel) -> tuple[dict, list[dict]]:
    """Return held-out accuracy beside the agreement ceiling and the TF-IDF baseline, calibration and length bias."""
    scores, _ = score_comparisons(scorer, held_out)
    baseline = tfidf_baseline.scores(training, held_out)
    accuracy, num_pairs = agreement.with_labels(held_out, scores)
    shift_free = 1.0 / scorer.model.config.reward_gain
    margins, longer_chosen, longer_preferred = [], 0, 0
    for comparison, own in zip(held_out, scores, strict=True):
        lengths = [len(response) for response in comparison["responses"]]
        for label in comparison["labels"]:
            for better, worse in records.pairs(label["ranks"]):
                margins.append((own[better] - own[worse]) * shift_free)
                longer_chosen += lengths[better] > lengths[worse]
                longer_preferred += (lengths[better] > lengths[worse]) == (own[better] > own[worse])
    error, bins = preference_training.calibration(margins)
    metrics = {
        "accuracy": accuracy,
        "pairs": num_pairs,
        "tfidf_accuracy": agreement.with_labels(held_out, baseline)[0],
        "by_category": by_category(held_out, scores, baseline),
        "calibration_error": error,
        "longer_chosen_by_labelers": longer_chosen / len(margins),
        "longer_preferred_by_model": longer_preferred / len(margins),
    }
    ceiling = agreement.between_labelers(training + held_out)
    if "agreement" in ceiling:
        metrics["labelers_agreement"] = ceiling["agreement"]
    if all("gold" in comparison for comparison in held_out):
        metrics["gold_accuracy"], metrics["gold_pairs"] = agreement.with_gold(held_out, scores, GOLD_TIE)
    return metrics, bins


def by_category(held_out: list[dict], scores: list[list[float]], baseline: list[list[float]]) -> dict[str, dict]:
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


def score_comparisons(scorer, comparisons: list[dict]) -> tuple[list[list[float]], list[float]]:
    """Return scores as K numbers a comparison, and the same in one flat list."""
    flat = scorer.score_texts(
        [comparison["messages"] for comparison in comparisons for _ in comparison["responses"]],
        [response for comparison in comparisons for response in comparison["responses"]],
    )
    waiting = iter(flat)
    return [[next(waiting) for _ in comparison["responses"]] for comparison in comparisons], flat
