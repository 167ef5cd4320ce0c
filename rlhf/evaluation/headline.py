"""The verdict in words, and how policies and comparisons are called, for the report, MLflow and the terminal alike.

It reads figures as metrics/evaluate.json has them, and needs no numbers library.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlhf.evaluation import typography
from rlhf.evaluation.typography import interval, number, percent_interval

Metrics = Mapping[str, Any]  # the content of a section of metrics/, such as that of metrics/evaluate.json

NAMES = {
    "base": "Base", "sft": "SFT", "feedme": "FeedME", "rejection": "rejection sampling", "dpo": "DPO", "ppo": "PPO",
}  # fmt: skip
RIVALS = ("feedme", "rejection", "dpo")  # cheaper ways to learn from the same labels
DECODINGS = {"sampled": "sampled", "greedy": "greedy", "best_temperature": "best temperature"}
WHEN = {**DECODINGS, "best_temperature": "at the best temperature"}
QUESTIONS = {  # PPO against SFT, each way to decode
    "sampled": "ppo_vs_sft",
    "greedy": "ppo_vs_sft_greedy",
    "best_temperature": "ppo_vs_sft_best_temperature",
}
DONE = {-1: "RLHF made answers worse", 0: "no difference was shown", 1: "RLHF helped"}


class Rate(NamedTuple):
    """A figure and the bounds of its interval."""

    mean: float
    low: float
    high: float


TIE = Rate(0.5, 0.5, 0.5)


def rates(evaluate: Metrics, group: str) -> dict[str, Rate]:
    """Return the intervals of a group of comparisons by name: win_rate, controlled, difference, ..."""
    return {name: Rate(found["mean"], found["low"], found["high"]) for name, found in evaluate[group].items()}


def result(evaluate: Metrics) -> str:
    """Return the result in a few words: what PPO did to SFT's answers when no fixed phrase can win."""
    plain, controlled = (rates(evaluate, group) for group in ("win_rate", "controlled"))
    if all(own[name] == TIE for own in (plain, controlled) for name in QUESTIONS.values()):
        return f"Nothing to compare: PPO and SFT tie on all {number(evaluate['prompts'], 0)} held-out prompts"
    return claim({decoding: controlled[name] for decoding, name in QUESTIONS.items()})


def claim(found: Mapping[str, typography.Interval]) -> str:
    """Return what PPO did to the answers by its win rates over SFT under DECODINGS, the worst of them first.

    An interval that holds one half proves nothing.
    """
    ways = {decoding: _way(found[decoding]) for decoding in DECODINGS}
    if len({*ways.values()}) == 1:
        return _begun(DONE[ways["sampled"]])
    parts = [
        f"{DONE[way]} {_when([WHEN[decoding] for decoding in ways if ways[decoding] == way])}"
        for way in sorted({*ways.values()})
    ]
    if parts[0].startswith("RLHF"):
        parts[-1] = parts[-1].replace("RLHF", "it")
    return _begun("; ".join(parts))


def weakest(found: Mapping[str, typography.Interval]) -> str:
    """Return the decoding under which PPO came out worst."""
    return min(DECODINGS, key=lambda decoding: (_way(found[decoding]), found[decoding].mean))


def evidence(evaluate: Metrics) -> str:
    """Return what stands behind the headline, of the decoding under which PPO came out worst: mean scores and their
    difference, then the controlled win rate, then the plain one.
    """
    controlled = rates(evaluate, "controlled")
    decoding = weakest({decoding: controlled[name] for decoding, name in QUESTIONS.items()})
    name, means = QUESTIONS[decoding], rates(evaluate, "controlled_mean")
    own, other = (number(means[f"{policy}_{decoding}"].mean) for policy in ("ppo", "sft"))
    difference = interval(rates(evaluate, "controlled_difference")[name], sign=True)
    plain, prompts = rates(evaluate, "win_rate")[name], number(evaluate["prompts"], 0)
    return (
        f"At its weakest, {WHEN[decoding]}, PPO has a controlled mean {evaluate['decided_by']} of {own} and SFT of "
        f"{other}, a difference of {difference}; it beats SFT on {percent_interval(controlled[name])} of {prompts} "
        f"held-out prompts controlled, on {percent_interval(plain)} plain."
    )


def called(policy: str, decoding: str | None = None) -> str:
    """Return how a policy is called, and how it decodes."""
    if policy.startswith("best_of_"):
        title = f"best of {policy.removeprefix('best_of_')}"
    else:
        first, _, earlier_round = policy.partition("_")
        title = f"{NAMES[first]} {earlier_round}".strip()
    return f"{title}, {DECODINGS[decoding]}" if decoding else title


def asked(name: str) -> str:
    """Return a comparison by the verdict in words, from its name in metrics/evaluate.json."""
    decoding = next((one for one in DECODINGS if name.endswith(f"_{one}")), "sampled")
    first, _, second = name.removesuffix(f"_{decoding}").partition("_vs_")
    return f"{called(first)} against {called(second)}, {DECODINGS[decoding]}"


def _way(rate: typography.Interval) -> int:
    return 1 if rate.low > 0.5 else -1 if rate.high < 0.5 else 0


def _when(ways: Sequence[str]) -> str:
    words = " and ".join(ways)
    return words if words.startswith("at ") else f"when {words}"


def _begun(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
