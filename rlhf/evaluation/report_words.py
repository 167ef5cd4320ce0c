"""The evaluation in words: headline, explanations, and how policies, decodings and numbers are called."""

from rlhf.evaluation import verdicts
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.verdicts import Key, WinRate

NAMES = {"base": "Base", "sft": "SFT", "ppo": "PPO", "feedme": "FeedME"}
DECODINGS = {"sampled": "sampled", "greedy": "greedy", "best_temperature": "best temperature"}

SHOWN: tuple[Key, ...] = (
    ("sft", "greedy"),
    ("sft", "sampled"),
    ("feedme", "greedy"),
    ("ppo", "greedy"),
    ("ppo", "sampled"),
)

CRITERIA_TEXT = (
    "The gold score's own criteria, each in 0..1 on the prompts that it applies to: did every one improve or hold?"
)
KL_TEXT = (
    "KL is measured against SFT on the policy's own answers at temperature 1; best-of-n has log n - (n-1)/n. "
    "Repetition is the share of token pairs that an answer has used before, distinct the share of different answers. "
    "The alignment tax is the loss on held-out pretraining text: higher means that general language was forgotten."
)
SLICE_TEXT = "Small parts have wide intervals, and among this many some differ by chance. The scores are mean verdicts."
CURVE_TEXT = (
    "What over-optimisation looks like: the reward model's score goes on rising while the verdict falls. Best-of-n is "
    "the unbiased estimate from the answers drawn for each prompt; the oracle picks by the verdict itself."
)
ARTIFACTS_TEXT = (
    "Bytes are versioned by DVC and runs are recorded by MLflow: python -m tools.where names the run, the data, the params "
    "and the code commit behind each of these."
)
SWEEP_TEXT = "On validation prompts: win rate of each temperature against the same policy at temperature 1."


def headline(findings: Findings) -> str:
    """Return the result in one sentence; an interval across one half is no result."""
    mean, low, high = certain(findings, "ppo_vs_sft").interval
    claim = "RLHF helped" if low > 0.5 else "RLHF made answers worse" if high < 0.5 else "No difference was shown"
    interval = f"{findings.settings.coverage:.0%} interval {percent_range(low, high)}"
    return f"{claim}: PPO beats SFT on {mean:.0%} of {len(findings.prompts):,} held-out prompts ({interval})"


def lead(findings: Findings) -> list[str]:
    """Return the paragraphs below the headline: the controls, who decided, what could have been seen at all."""
    greedy, best = certain(findings, "ppo_vs_sft_greedy"), certain(findings, "ppo_vs_sft_best_temperature")
    feedme, controlled = certain(findings, "ppo_vs_feedme"), certain(findings, "ppo_vs_sft_length_controlled")
    best_of = [rate for rate in findings.win_rates if rate.comparison.name.startswith("ppo_vs_best_of_")]
    strict = findings.win_rate("strict_ppo_vs_sft_greedy")
    controls = (
        f"Both sides sampled at temperature 1. Greedy against greedy it is {spoken(greedy)}; each at the temperature "
        f"that suits it best (chosen on validation prompts: SFT {findings.best_temperature['sft']:g}, "
        f"PPO {findings.best_temperature['ppo']:g}) {spoken(best)}; "
        f"between answers of equal length {spoken(controlled)}."
    )
    rivals = f"Against cheaper rivals, PPO wins {spoken(feedme)} over FeedME"
    rivals += "".join(f" and {spoken(rate)} over {called(rate.comparison.second[0])}" for rate in best_of) + "."
    if strict:
        rivals += f" Under the strict gold (an invented fact, wrong name or repeat scores 0), greedy: {spoken(strict)}."
    return [controls, rivals, f"{decider(findings)} {detectable(findings)}"]


def win_rate_text(findings: Findings) -> str:
    ties = findings.settings.tie_threshold
    return (
        "Each policy answers the same prompts, greedily or sampled at temperature 1; the higher score wins. Differences "
        f"below the tie threshold ({ties.gold:g} of gold, {ties.judge:g} of the judge) count half. Intervals are paired bootstraps over "
        "prompts: they say how another draw of prompts could come out, not how another training seed could."
    )


def score_text(findings: Findings) -> str:
    text = "The reward model is the proxy that PPO and best-of-n optimised; the judge never saw its data."
    if findings.decided_by == "judge":
        return f"{text} There is no gold labeler on this data, so the judge decides."
    return f"{text} Gold decides; the strict gold gives nothing for politeness or length and 0 for anything invented."


def decider(findings: Findings) -> str:
    own = findings.judge
    judge = (
        f"the judge, a reward model trained on comparisons set aside for it: it agrees with labelers on "
        f"{own['accuracy']:.0%} of {own['pairs']:,} held-out pairs and prefers the longer answer in "
        f"{own['longer_preferred_by_model']:.0%} of them (labelers: {own['longer_chosen_by_labelers']:.0%})"
    )
    if findings.decided_by == "gold":
        return f"The embedded world's gold labeler decides, which no model has seen. Its second opinion is {judge}."
    if findings.decided_by == "judge":
        return f"This data has no gold labeler, so what decides is {judge}. Its errors are in every verdict."
    return f"The gold labeler decides prompts that have a task; what decides the others is {judge}."


def detectable(findings: Findings) -> str:
    return (
        f"With {len(findings.prompts):,} prompts, a win rate {findings.detectable * 100:.1f} points away from one half is seen with "
        "80% power; smaller differences may be missed."
    )


def certain(findings: Findings, name: str) -> WinRate:
    """Return the win rate of a comparison that every evaluation makes."""
    found = findings.win_rate(name)
    assert found is not None, name
    return found


def spoken(found: WinRate) -> str:
    return f"{found.interval.mean:.0%} ({percent_range(*found.interval[1:])})"


def percent_range(low: float, high: float, decimals: int = 0) -> str:
    return f"{low * 100:.{decimals}f}–{high * 100:.{decimals}f}%"


def with_bounds(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    exact = interval.low == interval.high
    return f"{interval.mean:.2f}" if exact else f"{interval.mean:.2f} ({interval.low:.2f}–{interval.high:.2f})"


def called(policy: str, decoding: str | None = None) -> str:
    if policy.startswith("best_of_"):
        title = f"best of {policy.removeprefix('best_of_')}"
    else:
        first, _, earlier_round = policy.partition("_")
        title = f"{NAMES[first]} {earlier_round}".strip()
    return f"{title}, {DECODINGS[decoding]}" if decoding else title


def decoding(asked: verdicts.Comparison) -> str:
    first, second = DECODINGS[asked.first[1]], DECODINGS[asked.second[1]]
    return f"both {first}" if first == second else f"{first} against {second}"


def question(name: str) -> str:
    first, second = name.removesuffix("_greedy").split("_vs_")
    return f"{called(first)} against {called(second)}, {'greedy' if name.endswith('_greedy') else 'sampled'}"


def label(rate: WinRate, heading: str) -> str:
    asked = rate.comparison
    if heading == "PPO against SFT":
        return "length-controlled, sampled" if asked.length_controlled else f"both {DECODINGS[asked.first[1]]}"
    second = called(asked.second[0])
    names = second if heading == "PPO against cheaper rivals" else f"{called(asked.first[0])} against {second}"
    return f"{names}, {'greedy' if asked.first[1] == 'greedy' else 'sampled'}"
