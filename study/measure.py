"""What is measured of a cell's workspace: policies prompt by prompt, reward models comparison by comparison.

Per-prompt values are kept, so that two cells can be compared on the prompts that both answered, with a paired interval,
from what is committed alone.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf.evaluation import policy_measures, statistics, verdicts
from rlhf.evaluation.controls import manners, sides
from rlhf.evaluation.statistics import Array, Bootstrap
from rlhf.evaluation.verdicts import Judged
from rlhf.models import loading, placement
from rlhf.preferences import agreement
from rlhf.preferences.reward_accuracy import GOLD_TIE, score_comparisons
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Comparison, Prompt, Sample
from rlhf.training import left_out
from rlhf.world.grading import gold
from study.evidence import clustered
from study.forms import measuring as forms_measuring
from study.limits import measuring
from study.probes import capabilities
from study.workspace import Finished

DECODINGS = {"sampled": 1.0, "greedy": 0.0}
DIGITS = 4


def of_workspace(done: Finished, wanted: Sequence[str]) -> dict[str, Any]:
    """Return what the `wanted` measures find in a workspace, and which of its prompts belong together."""
    placement.prepare(done.params.runtime, done.params.seed)
    found = {name: MEASURES[name](done) for name in wanted}
    asked = test_prompts(done, done.settings.test_prompts) if {"policies", "policy"} & {*wanted} else []
    return found | {"clusters": clustered.of_cell(done, wanted, asked)}


def policies(done: Finished) -> dict[str, Any]:
    """Return base, SFT, FeedME, other rivals where they are trained, the last round's PPO, and SFT's best of n."""
    rivals = [name for name in verdicts.OPTIONAL if not left_out.is_left_out(done.folder_of(name))]
    return {name: _policy(done, name) for name in ("base", "sft", "feedme", *rivals, "ppo")} | _best_of_n(done)


def _best_of_n(done: Finished) -> dict[str, Any]:
    """Return the expected gold and reward of the answer that the reward model likes best among n, without bias."""
    counts, prompts = done.settings.best_of_n, test_prompts(done, done.settings.best_of_n_prompts)
    draws = range(200, 200 + max(counts))
    drawn = policy_measures.several_draws(done.policy("sft"), prompts, draws, done.scorers())
    proxy, scores = (
        np.array([[getattr(answer, name) for answer in row] for row in drawn]).T for name in ("reward_model", "gold")
    )  # [B, N] each
    controlled = np.array([_controlled(prompts, row) for row in drawn]).T
    return {
        f"best_of_{n}": {
            "prompts": [prompt["id"] for prompt in prompts],
            "sampled": {
                "gold": statistics.best_of_n(proxy, scores, n).round(DIGITS).tolist(),
                "controlled": statistics.best_of_n(proxy, controlled, n).round(DIGITS).tolist(),
                "reward_model": statistics.best_of_n(proxy, proxy, n).round(DIGITS).tolist(),
                "kl": [statistics.best_of_n_kl(n)] * len(prompts),
            },
        }
        for n in counts
    }


def policy(done: Finished) -> dict[str, Any]:
    """Return the last round's PPO alone."""
    return _policy(done, "ppo")


def _policy(done: Finished, name: str) -> dict[str, Any]:
    """Answers to test prompts: scores by prompt, means by criterion and category; loss and accuracy on documents."""
    scorers, sft = done.scorers(), done.policy("sft")
    asked = sft if name == "sft" else done.policy(name)
    prompts = test_prompts(done, done.settings.test_prompts)
    found: dict[str, Any] = {"prompts": [prompt["id"] for prompt in prompts]}
    for decoding, temperature in DECODINGS.items():
        answers = policy_measures.ask(asked, prompts, temperature, scorers)
        judged = policy_measures.scored(prompts, answers, scorers, by_judge=False)
        found[decoding] = _columns(prompts, judged) | {
            "criteria": _criteria(judged),
            "categories": _by_category(prompts, judged),
        }
        if decoding == "sampled" and name != "sft":
            nats = policy_measures.exact_kls(asked, sft, prompts, answers, scorers)
            found[decoding]["kl"] = [round(value, DIGITS) for value in nats]
    return found | {"probes": capabilities(asked, done)}


def test_prompts(done: Finished, limit: int) -> list[Prompt]:
    """Return the first `limit` of the prompts that `evaluate` asks."""
    tokenizers = [loading.load_tokenizer(done.data / name) for name in ("pretrain", "sft")]
    file = done.data / "collect_prompts/prompts.test.jsonl"
    fitting = policy_measures.fit(records.read(file, Prompt), tokenizers, done.params.evaluate.max_prompt_tokens, file)
    return policy_measures.drawn(fitting, limit)


def _columns(prompts: Sequence[Prompt], judged: Sequence[Judged]) -> dict[str, list]:
    columns = {
        name: [round(getattr(answer, name), DIGITS) for answer in judged]
        for name in ("gold", "strict", "reward_model", "num_tokens", "repetition")
    }
    invented = [int("facts" in answer.criteria and answer.criteria["facts"] == 0) for answer in judged]
    return columns | {"no_fact_right": invented, "controlled": _controlled(prompts, judged).round(DIGITS).tolist()}


def _controlled(prompts: Sequence[Prompt], judged: Sequence[Judged]) -> Array:
    """Return gold of one answer to each prompt, in the controlled form [B]."""
    form = manners.controlled(prompts, {("", ""): [answer.text for answer in judged]})[("", "")]
    return sides.golds(prompts, form)


def _criteria(judged: Sequence[Judged]) -> dict[str, float]:
    total, count = Counter[str](), Counter[str]()
    for answer in judged:
        total.update(answer.criteria)
        count.update(answer.criteria.keys())
    return {name: round(total[name] / count[name], DIGITS) for name in sorted(count)}


def _by_category(prompts: Sequence[Prompt], judged: Sequence[Judged]) -> dict[str, float]:
    total, count = Counter[str](), Counter[str]()
    for prompt, answer in zip(prompts, judged, strict=True):
        total[prompt["category"]] += answer.gold
        count[prompt["category"]] += 1
    return {name: round(total[name] / count[name], DIGITS) for name in sorted(count)}


def reward_model(done: Finished) -> dict[str, Any]:
    """Return [right, pairs] of every held-out comparison by labelers and by gold, and of the training ones in all."""
    first = next(iter(done.params.rounds))
    scorer = RewardScorer(done.data / "reward_model" / first, done.params.runtime)
    found: dict[str, Any] = {}
    for name in ("validation", "judge"):
        comparisons = records.read(done.held_out / f"comparisons.{name}.jsonl", Comparison)
        scores, _ = score_comparisons(scorer, comparisons)
        found[name] = {"comparisons": [comparison["id"] for comparison in comparisons]}
        for by, measured in (("labelers", agreement.with_labels), ("gold", _with_gold)):
            rows = [measured([one], [own]) for one, own in zip(comparisons, scores, strict=True)]
            found[name][by] = [[round(share * pairs), pairs] for share, pairs in rows]
    own = json.loads((done.folder / f"metrics/reward_model/{first}.json").read_text(encoding="utf-8"))
    used = own["reward_model"][first]["training_prompts"]
    training = records.read(done.data / f"collect_comparisons/{first}/comparisons.train.jsonl", Comparison)[:used]
    accuracy, pairs = agreement.with_labels(training, score_comparisons(scorer, training)[0])
    return found | {"training": {"accuracy": accuracy, "pairs": pairs, "prompts": used}}


def _with_gold(comparisons: list[dict], scores: list[list[float]]) -> tuple[float, int]:
    return agreement.with_gold(comparisons, scores, GOLD_TIE)


def curve(done: Finished) -> list[dict[str, float]]:
    """Return KL, the reward model's score, gold and answer length over the last round's PPO iterations."""
    with open(done.folder / f"metrics/plots/ppo/{done.last_round}.csv", encoding="utf-8", newline="") as file:
        names = ("step", "kl", "score", "gold", "completion_tokens")
        return [{name: round(float(row[name]), DIGITS) for name in names} for row in csv.DictReader(file)]


def evaluation(done: Finished) -> dict[str, Any]:
    """Return the pipeline's own evaluation and its reward model's metrics."""
    metrics, last = done.folder / "metrics", done.last_round
    found = json.loads((metrics / "evaluate.json").read_text(encoding="utf-8"))
    of_reward_model = json.loads((metrics / f"reward_model/{last}.json").read_text(encoding="utf-8"))
    return found | {"reward_model": of_reward_model["reward_model"][last]}


def without_criterion(done: Finished) -> dict[str, Any]:
    """Return PPO's win rates against SFT by gold without one criterion, for each; no one trick may carry the result."""
    samples, settings = records.read(done.data / "evaluate/samples.jsonl", Sample), done.params.evaluate
    bootstrap = Bootstrap(settings.bootstrap_samples, settings.coverage, 0)
    found: dict[str, Any] = {}
    for dropped in gold.WEIGHTS:
        factors = dict.fromkeys(gold.WEIGHTS, 1.0) | {dropped: 0.0}
        found[dropped] = {}
        for decoding in DECODINGS:
            ppo, sft = (
                [gold.score(s["task"], s["answers"][f"{name}_{decoding}"]["text"], factors).score for s in samples]
                for name in ("ppo", "sft")
            )
            outcome = statistics.outcomes(ppo, sft, settings.tie_threshold.gold)
            found[dropped][decoding] = statistics.mean_interval(outcome, bootstrap)._asdict()
    return found


def limits(done: Finished) -> dict[str, Any]:
    """Return what is found of the limits of all policies of `evaluate`."""
    return measuring.of_run(done, done.settings.paraphrases)


def forms(done: Finished) -> dict[str, Any]:
    """Return which tasks of GPT-1's kinds, and which stories, policies have right, by heads and forms of prompts."""
    return forms_measuring.measure(done.data, done.last_round, done.params.runtime, done.forms)


MEASURES: dict[str, Callable[[Finished], Any]] = {
    "policies": policies, "policy": policy, "reward_model": reward_model, "curve": curve, "evaluation": evaluation,
    "without_criterion": without_criterion, "limits": limits, "forms": forms,
}  # fmt: skip
