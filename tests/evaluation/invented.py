"""An evaluation without models: PPO above SFT, everything else beside it, and each answer its policy's own."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from rlhf.evaluation import findings, verdicts
from rlhf.evaluation.controls import compare
from rlhf.evaluation.controls.sides import Sides
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.held_out_text import HeldOutText
from rlhf.evaluation.history import History
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.evaluation.verdicts import Judged
from rlhf.params.base import parse
from rlhf.params.evaluate import Evaluate

SETTINGS = {
    "test_prompts": 1000,
    "validation_prompts": 200,
    "document_tokens": 2000,
    "sequence_tokens": 64,
    "max_prompt_tokens": 120,
    "max_completion_tokens": 48,
    "batch_size": 64,
    "scoring_batch_size": 64,
    "temperatures": [0.0, 0.5, 1.0],
    "best_of_n": {"compare": [4], "curve": [1, 4, 16], "curve_draws": 16, "curve_prompts": 100},
    "tie_threshold": {"gold": 0.02, "judge": 0.05},
    "bootstrap_samples": 200,
    "coverage": 0.95,
    "sample_prompts": 5,
}
KINDS = ("story", "facts", "harmful", "look_alike")
MEANS = {"base": 0.05, "sft": 0.45, "feedme": 0.55, "ppo": 0.8, "best_of_4": 0.66}


def evaluation(
    num_prompts: int = 40, with_gold: bool = True, text: str | None = None, category: str = "open_qa"
) -> Findings:
    """Return findings about answers that say which policy gave them, or all say `text`."""
    rng = random.Random(3)
    prompts, judged = [], {}
    for index in range(num_prompts):
        kind = KINDS[index % len(KINDS)]
        messages = [{"role": "user", "content": f"Tell me about {kind} <b>{index}</b>."}]
        if index % 5 == 0:
            messages += [{"role": "assistant", "content": "Sure."}, {"role": "user", "content": "Go on."}]
        prompt = {"id": f"p{index}", "messages": messages, "category": "generation" if index % 3 else category}
        prompt |= {"language": "zh" if index % 8 == 0 else "en", "user": "u", "source": "world"}
        prompts.append({**prompt, "task": {"kind": kind}} if with_gold else prompt)
    keys = [(policy, decoding) for policy in ("base", "sft", "feedme", "ppo") for decoding in ("sampled", "greedy")]
    keys += [("sft", "best_temperature"), ("ppo", "best_temperature"), ("best_of_4", "sampled")]
    for policy, decoding in keys:
        own = [text or f"{policy} says, {decoding}, {index}." for index in range(num_prompts)]
        judged[policy, decoding] = [_judged(rng, MEANS[policy], answer, with_gold) for answer in own]
    return concluded(prompts, judged)


class Blocks:
    """A moderator that blocks requests for harm, and answers whose number ends with three."""

    def judge(self, given: Sequence[Any]) -> list[Any]:
        texts = [one if isinstance(one, str) else one[-1]["content"] for one in given]
        return [SimpleNamespace(blocked="harmful" in text or text.endswith("3.")) for text in texts]


def concluded(prompts: list[dict], judged: dict, rounds: Sequence[str] = ("r1",)) -> Findings:
    """Return what the answers say together, beside figures that no answer gives; `judged` holds every round's PPO."""
    settings = parse(Evaluate, SETTINGS, "evaluate")
    bootstrap = Bootstrap(settings.bootstrap_samples, settings.coverage, 1)
    asked = verdicts.questions(rounds[:-1], [4])
    rates = [verdicts.compare(question, judged, settings.tie_threshold, bootstrap) for question in asked]
    sides = policies(prompts, judged)
    controls = compare.conclude(sides, tricks(sides), judged, asked, settings.tie_threshold, bootstrap)
    sweep = [{"policy": name, "temperature": t, "win_rate": 0.5, "low": 0.4, "high": 0.6, "score": 0.5}
             for name in ("sft", "ppo") for t in settings.temperatures]  # fmt: skip
    best = [{"n": n, "kl": n / 8, "reward_model": n / 10, "score": 0.5 + n / 80, "low": 0.4, "high": 0.8, "oracle": 0.9}
            for n in settings.best_of_n.curve]  # fmt: skip
    return Findings(
        prompts=prompts,
        judged=judged,
        win_rates=[rate for rate in rates if rate],
        summaries={key: findings.summary(answers, bootstrap) for key, answers in judged.items()},
        slices=findings.slices(prompts, judged, asked, settings, bootstrap),
        kl={"ppo": (Interval(2.1, 1.9, 2.3), 0.11), "feedme": (Interval(1.0, 0.9, 1.1), 0.06)},
        document_loss={"base": 2.40, "sft": 2.45, "ppo": 2.48},
        held_out_text=HeldOutText(documents=30, unigram_entropy=4.8),
        best_temperature={"sft": 0.5, "ppo": 1.0},
        sweep=sweep,
        best_of_n=best,
        blocked=findings.blocked(prompts, judged, Blocks(), settings.coverage),
        judge=of_a_reward_model(accuracy=0.71, pairs=1234),
        too_long=0,
        artifacts={"data/ppo/r1": "a" * 32 + ".dir", "data/sft": "b" * 32 + ".dir"},
        rounds=rounds,
        settings=settings,
        **controls._asdict(),
    )


def policies(prompts: list[dict], judged: dict) -> Sides:
    """Return scores of which the controlled form leaves the half, whatever the text says."""
    plain = {key: np.array([answer.verdict for answer in answers]) for key, answers in judged.items()}
    return Sides(prompts, plain, {key: scores / 2 for key, scores in plain.items()})


def tricks(sides: Sides) -> Sides:
    """Return the trivial policies on the prompts with a task: a closing is worth .08, and nothing under control."""
    plain, controlled = dict(sides.plain), dict(sides.controlled)
    for name, policy, decoding in (
        ("closing", "sft", "sampled"), ("closing", "sft", "greedy"), ("closing_feedme", "feedme", "greedy")
    ):  # fmt: skip
        plain[name, decoding] = plain[policy, decoding] + 0.08
        controlled[name, decoding] = controlled[policy, decoding]
    for name, score in (("copy", 0.0), ("refuse", 0.1)):
        plain[name, "greedy"] = np.full(len(sides.prompts), score)
        controlled[name, "greedy"] = plain[name, "greedy"] / 2
    known = [index for index, prompt in enumerate(sides.prompts) if "task" in prompt]
    return Sides(sides.prompts, plain, controlled).among(known)


def history(**ppo: Any) -> History:
    """Return what was trained before; `ppo` changes what its metrics say."""
    points = [{"step": step, "kl_coef": 0.3, "kl": 0.05 * step, "score": 0.1 + 0.04 * min(step, 10),
               "score_std": 0.5, "completion_tokens": 10 + step} for step in range(1, 31)]  # fmt: skip
    batches = [{"step": step, "loss": 2 / step, "accuracy": 0.6} for step in range(1, 40)]
    metrics = {
        "pretrain": {"parameters": 7654321, "tokens": 98765, "validation_loss": 1.23},
        "sft": {"demonstrations": 4567, "kept_epoch": 2, "validation_loss": 1.11},
        "collect_comparisons": {"answers": 3210, "mean_answers_a_prompt": 4.5, "labelers": 9, "agreement": 0.777},
        "reward_model": of_a_reward_model(accuracy=0.729, pairs=4321),
        "ppo": {"episodes": 7680, "prompts": 3198, "score": 0.9, "kl": 1.4} | ppo,
    }
    source = {"source": "books", "from": "real/books.txt", "use": "documents", "licence": "public domain"}
    curves = {
        "pretrain": batches,
        "sft": [*batches, {"step": 40, "validation_loss": 1.11}],
        "reward_model": batches,
        "ppo": points,
    }
    return History(23, "r1", metrics, curves, [{**source, "read": "1200", "kept": "1100"}])


def of_a_reward_model(accuracy: float, pairs: int) -> dict[str, Any]:
    return {
        "accuracy": accuracy, "tfidf_accuracy": 0.654, "labelers_agreement": 0.77, "gold_accuracy": 0.83,
        "pairs": pairs,
        "longer_preferred_by_model": 0.58, "longer_chosen_by_labelers": 0.55, "calibration_error": 0.03,
        "training_prompts": 2112, "by_category": {"open_qa": {"accuracy": 0.7, "tfidf_accuracy": 0.6, "pairs": 400}},
    }  # fmt: skip


def _judged(rng: random.Random, mean: float, text: str, with_gold: bool) -> Judged:
    gold = min(1.0, max(0.0, rng.gauss(mean, 0.2)))
    criteria = {"facts": gold, "politeness": gold / 2} if with_gold else None
    score, strict = (gold, gold * 0.8) if with_gold else (None, None)
    return Judged(text, rng.randint(5, 30), True, 0.1, 2 * gold, 3 * gold - 1, score, strict, criteria)
