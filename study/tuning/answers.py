"""What a trial's policy answers to validation prompts, and what that is worth under the controlled measure.

All trials of a seed are asked the same prompts with the same luck, and compared with the same answers of SFT and of
FeedME. Gold decides; prompts that it cannot score are refused.
"""

from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rlhf.evaluation import policy_measures, statistics
from rlhf.evaluation.controls import clusters, compare, sides
from rlhf.evaluation.controls.sides import Sides
from rlhf.evaluation.policy_measures import Policy, Scorers
from rlhf.evaluation.statistics import Bootstrap
from rlhf.evaluation.verdicts import Comparison, Judged, Key
from rlhf.models import loading, placement
from rlhf.params.base import load
from rlhf.params.evaluate import EvaluateInputs
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Prompt
from rlhf.rewards import weighted
from rlhf.sampling.rollouts import Response
from study.tuning.training import Run

PROMPTS = Path("data/collect_prompts/prompts.validation.jsonl")
DECODINGS = {"greedy": 0.0, "sampled": 1.0}
TRIAL = "trial"
BOOTSTRAP = Bootstrap(resamples=2000, coverage=0.95, seed=0)
QUESTIONS = tuple(
    Comparison(f"vs_{rival}_{decoding}", (TRIAL, decoding), (rival, decoding))
    for rival in ("sft", "feedme")
    for decoding in DECODINGS
)
NOBODY = Sides([], {}, {})
CHINESE = "zh"
DIGITS = 4


Draw = dict[Key, list[Judged]]  # scored answers by policy and decoding


class Reference(NamedTuple):
    """What all trials of a seed are held against."""

    prompts: list[Prompt]
    too_long: int  # prompts that are left out
    sft: Policy
    scorers: Scorers
    draws: list[Draw]  # of SFT and FeedME; those after the first have what was sampled again


def reference(run: Run) -> Reference:
    """Ask the run's SFT and FeedME. Raises ValueError for prompts without a task."""
    params, data = load(run.folder, EvaluateInputs), run.folder / "data"
    placement.prepare(params.runtime, params.seed)
    file = run.folder / PROMPTS
    asked = records.read(file, Prompt)
    strange = [prompt["id"] for prompt in asked if "task" not in prompt]
    if strange:
        raise ValueError(f"{file}: {len(strange)} prompts have no task, which gold needs; the first is {strange[0]}")
    tokenizers = [loading.load_tokenizer(data / name) for name in ("pretrain", "sft")]
    prompts = policy_measures.fit(asked, tokenizers, params.evaluate.max_prompt_tokens, file)
    scorer = RewardScorer(data / "reward_model" / run.last_round, params.runtime)
    scorers = Scorers(weighted.alone(scorer), scorer, params, BOOTSTRAP)
    sft, feedme = (Policy(name, *loading.load_policy(data / name, params.runtime)) for name in ("sft", "feedme"))
    draws = [one | two for one, two in zip(*(drawn(it, prompts, scorers)[0] for it in (sft, feedme)), strict=True)]
    return Reference(prompts, len(asked) - len(prompts), sft, scorers, draws)


def drawn(policy: Policy, prompts: list[Prompt], scorers: Scorers) -> tuple[list[Draw], list[Response]]:
    """Return a policy's scored answers, and those of the first draw that were sampled.

    The first draw is greedy and sampled; there are `evaluate.sampled_draws` in all, as many as `evaluate` makes.
    """
    answers = {name: policy_measures.ask(policy, prompts, heat, scorers) for name, heat in DECODINGS.items()}
    first = {
        (policy.name, name): policy_measures.scored(prompts, own, scorers, by_judge=False)
        for name, own in answers.items()
    }
    again = policy_measures.sampled_again(policy, prompts, scorers)
    return [first, *({(policy.name, "sampled"): own} for own in again)], answers["sampled"]


def measured(folder: Path, against: Reference) -> dict[str, float]:
    """Return the figures of the policy in `folder`, by the names of their columns."""
    prompts, scorers = against.prompts, against.scorers
    policy, settings = Policy(TRIAL, *loading.load_policy(folder, scorers.params.runtime)), scorers.params.evaluate
    own, sampled = drawn(policy, prompts, scorers)
    draws = [one | two for one, two in zip(own, against.draws, strict=True)]
    both = sides.of_policies(prompts, draws, None, settings.scoring_batch_size)
    found = compare.conclude(both, NOBODY, draws[0], QUESTIONS, settings.tie_threshold, BOOTSTRAP)
    intervals = {decoding: found.controlled_means[TRIAL, decoding] for decoding in DECODINGS}
    intervals |= {rate.comparison.name: rate.interval for rate in found.controlled}
    figures: dict[str, float] = {"prompts": len(prompts), "too_long": against.too_long} | score(both)
    for name, (mean, low, high) in intervals.items():
        figures |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    chinese = [index for index, prompt in enumerate(prompts) if prompt["language"] == CHINESE]
    figures["chinese_prompts"] = len(chinese)
    for decoding in DECODINGS if chinese else ():
        figures[f"chinese_{decoding}"] = float(both.among(chinese).controlled[TRIAL, decoding].mean())
    greedy, answered = draws[0][TRIAL, "greedy"], draws[0][TRIAL, "sampled"]
    figures |= {"strict_greedy": _mean(greedy, "strict"), "reward_model_sampled": _mean(answered, "reward_model")}
    figures |= {"tokens_greedy": _mean(greedy, "num_tokens"), "tokens_sampled": _mean(answered, "num_tokens")}
    figures["kl"] = policy_measures.divergence(policy, against.sft, prompts, sampled, scorers)[0].mean
    return {name: round(value, DIGITS) for name, value in figures.items()}


def score(both: Sides) -> dict[str, float]:
    """Return what trials are chosen by: controlled gold, the mean of greedy and sampled, with its standard error.

    A prompt's draws are averaged. The error is that of the widest interval: over prompts, tasks and subjects.
    """
    values = np.mean([both.controlled[TRIAL, decoding].mean(axis=1) for decoding in DECODINGS], axis=0)  # [B]
    mean, low, high = statistics.widest_interval(values, BOOTSTRAP, clusters.of(both.prompts))
    reach = NormalDist().inv_cdf((1 + BOOTSTRAP.coverage) / 2)
    return {"score": mean, "score_error": (high - low) / (2 * reach)}


def _mean(judged: list[Judged], name: str) -> float:
    return float(np.mean([getattr(answer, name) for answer in judged]))
