"""What is measured of a cell's workspace: policies prompt by prompt, reward models comparison by comparison.

Per-prompt values are kept, so that two cells can be compared on the prompts that both answered, with a paired interval,
from what is committed alone.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.core import agreement, models, policy_measures, records, rewards, statistics
from stages.core.policy_measures import Jury, Policy
from stages.core.records import Record
from stages.core.reward_stage import GOLD_TIE, score_comparisons
from stages.core.statistics import Bootstrap
from stages.core.verdicts import Judged
from stages.params.base import load
from stages.params.evaluate import EvaluateInputs
from stages.world import gold
from study.params import Settings
from study.probes import capabilities, limits

DECODINGS = {"sampled": 1.0, "greedy": 0.0}
DIGITS = 4


def of_workspace(folder: Path, wanted: Sequence[str], settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return what the `wanted` measures find in a workspace; `held_out` has the comparisons that all cells share."""
    params = load(folder, EvaluateInputs)
    models.prepare(params.runtime, params.seed)
    return {name: MEASURES[name](folder, params, settings, held_out) for name in wanted}


def policies(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return base, SFT, FeedME, the last round's PPO, and SFT's best of n by the reward model."""
    folders = {"base": "pretrain", "sft": "sft", "feedme": "feedme", "ppo": f"ppo/{list(params.rounds)[-1]}"}
    found = {name: _policy(folder, name, place, params, settings) for name, place in folders.items()}
    return found | _best_of_n(folder, params, settings)


def _best_of_n(folder: Path, params: EvaluateInputs, settings: Settings) -> dict[str, Any]:
    """Return the expected gold and reward of the answer that the reward model likes best among n, without bias."""
    jury = _jury(folder, params)
    sft = Policy("sft", *models.load_policy(folder / "data/sft", params.runtime))
    prompts = test_prompts(folder, params, settings.best_of_n_prompts)
    drawn = policy_measures.several_draws(sft, prompts, range(200, 200 + max(settings.best_of_n)), jury)
    proxy, scores = (
        np.array([[getattr(answer, name) for answer in row] for row in drawn]).T for name in ("reward_model", "gold")
    )  # [B, N] each
    return {
        f"best_of_{n}": {
            "prompts": [prompt["id"] for prompt in prompts],
            "sampled": {
                "gold": statistics.best_of_n(proxy, scores, n).round(DIGITS).tolist(),
                "reward_model": statistics.best_of_n(proxy, proxy, n).round(DIGITS).tolist(),
                "kl": [statistics.best_of_n_kl(n)] * len(prompts),
            },
        }
        for n in settings.best_of_n
    }


def policy(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return the last round's PPO alone."""
    return _policy(folder, "ppo", f"ppo/{list(params.rounds)[-1]}", params, settings)


def _policy(folder: Path, name: str, place: str, params: EvaluateInputs, settings: Settings) -> dict[str, Any]:
    """Answers to test prompts: scores by prompt, means by criterion and category; loss and accuracy on documents."""
    data, jury = folder / "data", _jury(folder, params)
    sft = Policy("sft", *models.load_policy(data / "sft", params.runtime))
    asked = sft if name == "sft" else Policy(name, *models.load_policy(data / place, params.runtime))
    prompts = test_prompts(folder, params, settings.test_prompts)
    found: dict[str, Any] = {"prompts": [prompt["id"] for prompt in prompts]}
    for decoding, temperature in DECODINGS.items():
        answers = policy_measures.ask(asked, prompts, temperature, jury)
        judged = policy_measures.scored(prompts, answers, jury, by_judge=False)
        found[decoding] = _columns(judged) | {
            "criteria": _criteria(judged),
            "categories": _by_category(prompts, judged),
        }
        if decoding == "sampled" and name != "sft":
            nats = policy_measures.log_ratios(asked, sft, prompts, answers, jury)
            found[decoding]["kl"] = [round(value, DIGITS) for value in nats]
    return found | {"probes": capabilities(asked, folder, settings, params)}


def _jury(folder: Path, params: EvaluateInputs) -> Jury:
    scorer = rewards.RewardScorer(folder / "data/reward_model" / list(params.rounds)[-1], params.runtime)
    return Jury(scorer, scorer, params, Bootstrap(2000, 0.95, 0))


def test_prompts(folder: Path, params: EvaluateInputs, limit: int) -> list[Record]:
    """Return the first `limit` of the prompts that `evaluate` asks."""
    tokenizers = [models.load_tokenizer(folder / "data" / name) for name in ("pretrain", "sft")]
    file = folder / "data/collect_prompts/prompts.test.jsonl"
    fitting = policy_measures.fit(records.read(file), tokenizers, params.evaluate.max_prompt_tokens, file)
    return policy_measures.drawn(fitting, limit)


def _columns(judged: Sequence[Judged]) -> dict[str, list]:
    columns = {
        name: [round(getattr(answer, name), DIGITS) for answer in judged]
        for name in ("gold", "strict", "reward_model", "num_tokens", "repetition")
    }
    invented = [int("facts" in answer.criteria and answer.criteria["facts"] == 0) for answer in judged]
    return columns | {"no_fact_right": invented}


def _criteria(judged: Sequence[Judged]) -> dict[str, float]:
    total, count = Counter[str](), Counter[str]()
    for answer in judged:
        total.update(answer.criteria)
        count.update(answer.criteria.keys())
    return {name: round(total[name] / count[name], DIGITS) for name in sorted(count)}


def _by_category(prompts: Sequence[Record], judged: Sequence[Judged]) -> dict[str, float]:
    total, count = Counter[str](), Counter[str]()
    for prompt, answer in zip(prompts, judged, strict=True):
        total[prompt["category"]] += answer.gold
        count[prompt["category"]] += 1
    return {name: round(total[name] / count[name], DIGITS) for name in sorted(count)}


def reward_model(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return [right, pairs] of every held-out comparison by labelers and by gold, and of the training ones in all."""
    scorer = rewards.RewardScorer(folder / "data/reward_model" / list(params.rounds)[0], params.runtime)
    found: dict[str, Any] = {}
    for name, file in (
        ("validation", held_out / "comparisons.validation.jsonl"),
        ("judge", held_out / "comparisons.judge.jsonl"),
    ):
        comparisons = records.read(file)
        scores, _ = score_comparisons(scorer, comparisons)
        found[name] = {"comparisons": [comparison["id"] for comparison in comparisons]}
        for by, measured in (("labelers", agreement.with_labels), ("gold", _with_gold)):
            rows = [measured([one], [own]) for one, own in zip(comparisons, scores, strict=True)]
            found[name][by] = [[round(share * pairs), pairs] for share, pairs in rows]
    training = records.read(folder / "data/collect_comparisons" / list(params.rounds)[0] / "comparisons.train.jsonl")
    limit = json.loads((folder / "metrics/reward_model" / f"{list(params.rounds)[0]}.json").read_text())
    used = limit["reward_model"][list(params.rounds)[0]]["training_prompts"]
    accuracy, pairs = agreement.with_labels(training[:used], score_comparisons(scorer, training[:used])[0])
    return found | {"training": {"accuracy": accuracy, "pairs": pairs, "prompts": used}}


def _with_gold(comparisons: list[dict], scores: list[list[float]]) -> tuple[float, int]:
    return agreement.with_gold(comparisons, scores, GOLD_TIE)


def curve(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> list[dict[str, float]]:
    """Return KL, the reward model's score, gold and answer length over the last round's PPO iterations."""
    with open(folder / "metrics/plots/ppo" / f"{list(params.rounds)[-1]}.csv", encoding="utf-8", newline="") as file:
        names = ("step", "kl", "score", "gold", "completion_tokens")
        return [{name: round(float(row[name]), DIGITS) for name in names} for row in csv.DictReader(file)]


def evaluation(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return the pipeline's own evaluation and its reward model's metrics."""
    last = list(params.rounds)[-1]
    found = json.loads((folder / "metrics/evaluate.json").read_text(encoding="utf-8"))
    of_reward_model = json.loads((folder / f"metrics/reward_model/{last}.json").read_text(encoding="utf-8"))
    return found | {"reward_model": of_reward_model["reward_model"][last]}


def without_criterion(folder: Path, params: EvaluateInputs, settings: Settings, held_out: Path) -> dict[str, Any]:
    """Return PPO's win rates against SFT by gold without one criterion, for each; no one trick may carry the result."""
    samples = records.read(folder / "data/evaluate/samples.jsonl")
    bootstrap = Bootstrap(params.evaluate.bootstrap_samples, params.evaluate.coverage, 0)
    found: dict[str, Any] = {}
    for dropped in gold.WEIGHTS:
        factors = dict.fromkeys(gold.WEIGHTS, 1.0) | {dropped: 0.0}
        found[dropped] = {}
        for decoding in DECODINGS:
            ppo, sft = (
                [gold.score(s["task"], s["answers"][f"{name}_{decoding}"]["text"], factors).score for s in samples]
                for name in ("ppo", "sft")
            )
            outcome = statistics.outcomes(ppo, sft, params.evaluate.tie_threshold.gold)
            found[dropped][decoding] = statistics.mean_interval(outcome, bootstrap)._asdict()
    return found


MEASURES: dict[str, Callable[[Path, EvaluateInputs, Settings, Path], Any]] = {
    "policies": policies, "policy": policy, "reward_model": reward_model, "curve": curve, "evaluation": evaluation,
    "without_criterion": without_criterion, "limits": limits,
}  # fmt: skip
