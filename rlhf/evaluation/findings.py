"""What evaluation found, as plain values: means with intervals by policy, win rates by slice, metrics for git."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf.evaluation import statistics, verdicts
from rlhf.evaluation.controls import figures
from rlhf.evaluation.statistics import Bootstrap, Interval, Overlap
from rlhf.evaluation.verdicts import Judged, Key, WinRate
from rlhf.params.evaluate import Evaluate
from rlhf.records.types import Prompt

if TYPE_CHECKING:  # tools and the laboratory read findings without torch
    from rlhf.evaluation.held_out_text import HeldOutText
    from rlhf.moderation.moderator import Moderator

SCORES = ("gold", "strict", "reward_model", "judge")
SLICED = ("ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_feedme", "ppo_vs_feedme_greedy")
HARM = {"harmful": "harmful", "look_alike": "a look-alike"}  # kinds of prompts by which blocked texts are told apart


class Summary(NamedTuple):
    """One policy under one decoding: means over the test prompts."""

    scores: dict[str, Interval]  # by SCORES; gold and strict only where prompts have a task
    criteria: dict[str, Interval]  # of the gold score
    num_tokens: Interval
    repetition: float
    distinct: float  # different answers / prompts
    missing_eos: float
    empty: float
    reward_parts: dict[str, Interval]  # the terms of the reward, where it is a sum of several


class Slice(NamedTuple):
    """A part of the test prompts: its win rates and every policy's mean score by the verdict."""

    division: str  # category, language, kind, turns
    part: str
    prompts: int
    win_rates: dict[str, Interval]
    scores: dict[Key, float]


class Blocked(NamedTuple):
    """The share of prompts, or of a policy's answers, that the moderator blocks."""

    share: Interval
    by_kind: dict[str, Interval]  # of the prompts, those of HARM that there are


class Findings(NamedTuple):
    prompts: Sequence[Prompt]
    judged: Mapping[Key, Sequence[Judged]]
    win_rates: Sequence[WinRate]
    controlled: Sequence[WinRate]  # both answers in one form: see controls.compare, also of what follows
    differences: Mapping[str, Interval]  # of means, first - second, by comparison
    controlled_differences: Mapping[str, Interval]
    trivial: Sequence[WinRate]  # of the trivial policies' answers as they are
    controlled_means: Mapping[Key, Interval]  # of the verdict
    controlled_parts: Mapping[str, Mapping[str, Mapping[str, Interval]]]  # win rates of SLICED by division and part
    length_overlap: Mapping[str, Overlap]  # by length-controlled comparison
    summaries: Mapping[Key, Summary]
    slices: Sequence[Slice]
    kl: Mapping[str, tuple[Interval, float]]  # by policy: nats an answer, nats a token, against SFT
    document_loss: Mapping[str, float]  # by policy: nats a token of held-out pretraining text
    held_out_text: "HeldOutText | None"  # on which that was measured
    best_temperature: Mapping[str, float]
    sweep: Sequence[dict[str, Any]]  # policy, temperature, win_rate, low, high, score on validation prompts
    best_of_n: Sequence[dict[str, Any]]  # n, kl, reward_model, score, low, high, oracle
    blocked: Mapping[str, Blocked]  # of the prompts, and by policy and decoding
    judge: Mapping[str, Any]  # the judge's own held-out metrics
    too_long: int  # test prompts left out
    artifacts: Mapping[str, str]  # by path below data/: the md5 that dvc.lock shows
    rounds: Sequence[str]
    settings: Evaluate

    @property
    def decided_by(self) -> str:
        """gold, judge, or both where only some prompts have a task."""
        kinds = {"gold" if "task" in prompt else "judge" for prompt in self.prompts}
        return kinds.pop() if len(kinds) == 1 else "gold and judge"

    @property
    def detectable(self) -> float:
        """The distance from 0.5 that a win rate over these prompts shows with 80% power."""
        return statistics.minimum_detectable_effect(len(self.prompts), self.settings.coverage)

    def win_rate(self, name: str) -> WinRate | None:
        return next((rate for rate in self.win_rates if rate.comparison.name == name), None)

    def controlled_rate(self, name: str) -> WinRate | None:
        return next((rate for rate in self.controlled if rate.comparison.name == name), None)


def summary(judged: Sequence[Judged], bootstrap: Bootstrap) -> Summary:
    """Return one policy's means over the prompts; a criterion counts on the prompts that it applies to."""

    def mean(values: Sequence[float]) -> Interval:
        return statistics.mean_interval(values, bootstrap)

    scores = {name: [getattr(answer, name) for answer in judged] for name in SCORES}
    known = {name: [value for value in values if value is not None] for name, values in scores.items()}
    criteria: dict[str, list[float]] = {}
    for answer in judged:
        for name, value in (answer.criteria or {}).items():
            if value is not None:
                criteria.setdefault(name, []).append(value)
    parts: dict[str, list[float]] = {}
    for answer in judged:
        for name, value in (answer.reward_parts or {}).items():
            parts.setdefault(name, []).append(value)
    count = len(judged)
    return Summary(
        scores={name: mean(values) for name, values in known.items() if values},
        criteria={name: mean(values) for name, values in sorted(criteria.items())},
        num_tokens=mean([answer.num_tokens for answer in judged]),
        repetition=sum(answer.repetition for answer in judged) / count,
        distinct=len({answer.text for answer in judged}) / count,
        missing_eos=sum(not answer.ended for answer in judged) / count,
        empty=sum(not answer.text.strip() for answer in judged) / count,
        reward_parts={name: mean(values) for name, values in parts.items()},
    )


def slices(
    prompts: Sequence[Prompt],
    judged: Mapping[Key, Sequence[Judged]],
    asked: Sequence[verdicts.Comparison],
    settings: Evaluate,
    bootstrap: Bootstrap,
) -> list[Slice]:
    """Return PPO's win rates and all policies' mean verdict on each category, language, kind and number of turns."""
    found = []
    for division, parts in verdicts.slices(prompts).items():
        for part, indices in parts.items():
            within = {key: [answers[i] for i in indices] for key, answers in judged.items()}
            rates = {}
            for comparison in asked:
                if comparison.name in SLICED:
                    rate = verdicts.compare(comparison, within, settings.tie_threshold, bootstrap)
                    assert rate is not None  # every prompt has a verdict
                    rates[comparison.name] = rate.interval
            scores = {key: sum(answer.verdict for answer in answers) / len(indices) for key, answers in within.items()}
            found.append(Slice(division, part, len(indices), rates, scores))
    return found


def blocked(
    prompts: Sequence[Prompt], judged: Mapping[Key, Sequence[Judged]], moderator: "Moderator", coverage: float
) -> dict[str, Blocked]:
    """Return what the moderator blocks of the prompts, and of each policy's answers, each judged for itself."""
    kinds = verdicts.slices(prompts)["kind"]

    def of(texts: Sequence[Any]) -> Blocked:
        shares = [float(verdict.blocked) for verdict in moderator.judge(texts)]
        by_kind = {
            kind: statistics.share_interval([shares[index] for index in kinds[kind]], coverage)
            for kind in HARM
            if kind in kinds
        }
        return Blocked(statistics.share_interval(shares, coverage), by_kind)

    found = {"prompts": of([prompt["messages"] for prompt in prompts])}
    answers = {f"{policy}_{decoding}": answers for (policy, decoding), answers in judged.items()}
    return found | {name: of([answer.text for answer in own]) for name, own in answers.items()}


def metrics(findings: Findings) -> dict[str, Any]:
    """Return the content of metrics/evaluate.json: what a program or `dvc metrics` compares."""
    named = {f"{policy}_{decoding}": found for (policy, decoding), found in findings.summaries.items()}
    content: dict[str, Any] = {
        "prompts": len(findings.prompts),
        "prompts_too_long": findings.too_long,
        "decided_by": findings.decided_by,
        "minimum_detectable_effect": findings.detectable,
        "score_range": _range([answer.verdict for answers in findings.judged.values() for answer in answers]),
        "win_rate": {rate.comparison.name: rate.interval._asdict() for rate in findings.win_rates},
        "kl_per_answer": {policy: interval.mean for policy, (interval, _) in findings.kl.items()},
        "kl_per_token": {policy: per_token for policy, (_, per_token) in findings.kl.items()},
        "document_loss": dict(findings.document_loss),
        "held_out_text": findings.held_out_text._asdict() if findings.held_out_text else {},
        "best_temperature": dict(findings.best_temperature),
        "best_of_n": {str(row["n"]): row["score"] for row in findings.best_of_n},
        "num_tokens": {name: found.num_tokens.mean for name, found in named.items()},
        "judged_by": {name: value for name, value in findings.judge.items() if isinstance(value, int | float)},
    }
    for name in SCORES:
        content[name] = {key: found.scores[name].mean for key, found in named.items() if name in found.scores}
    terms = dict.fromkeys(name for found in named.values() for name in found.reward_parts)
    content["reward_parts"] = {
        name: {key: found.reward_parts[name].mean for key, found in named.items() if name in found.reward_parts}
        for name in terms
    }
    for name in ("repetition", "distinct", "missing_eos", "empty"):
        content[name] = {key: getattr(found, name) for key, found in named.items()}
    for found in findings.slices:
        by = content.setdefault(f"ppo_vs_sft_by_{found.division}", {})
        by[found.part] = found.win_rates["ppo_vs_sft"].mean
    content["blocked"] = {
        name: found.share._asdict() | {kind: share._asdict() for kind, share in found.by_kind.items()}
        for name, found in findings.blocked.items()
    }
    criteria = {key: {name: value.mean for name, value in found.criteria.items()} for key, found in named.items()}
    shown = ("sft_sampled", "sft_greedy", "ppo_sampled", "ppo_greedy", "feedme_sampled", "feedme_greedy")
    content["criteria"] = {key: criteria[key] for key in shown if criteria.get(key)}
    content |= figures.metrics(findings)
    return {name: value for name, value in content.items() if value != {}}


def _range(scores: Sequence[float]) -> dict[str, float]:
    return {"low": min(scores), "high": max(scores)}
