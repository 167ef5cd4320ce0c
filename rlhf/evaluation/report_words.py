"""The evaluation in words: headline, explanations, and how comparisons are called."""

from rlhf.evaluation.findings import Findings
from rlhf.evaluation.headline import DECODINGS, RIVALS, Metrics, called, evidence
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import number, percent, percent_interval
from rlhf.evaluation.verdicts import Comparison, Key, WinRate

MEASURES = {
    "verdict": "", "controlled": ", controlled", "strict": ", by the strict gold", "judge": ", by the judge",
    "reward_model": ", by the reward model (the proxy)",
}  # fmt: skip

SHOWN: tuple[Key, ...] = (
    ("sft", "sampled"),
    ("sft", "greedy"),
    ("feedme", "greedy"),
    ("ppo", "sampled"),
    ("ppo", "greedy"),
)

CLOSING = "closing_vs_sft_greedy"  # a trivial policy's comparison: SFT and one sentence more against SFT
CONTROL_TEXT = (
    "Controlled means that no fixed phrase can win: in the embedded world every answer is scored again without opener and with "
    "the same closing, elsewhere without the sentences that begin or end many answers; plain means as answered."
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
MODERATION_TEXT = (
    "The stage moderation trains what blocks requests before a model sees them, and answers before a person does; how often it "
    "errs stands in metrics/moderation.json. Here it judges each text for itself: an answer that refuses says little, one that "
    "complies with a harmful request should be blocked. Intervals are Wilson's, over prompts."
)
CURVE_TEXT = (
    "What over-optimisation looks like: the reward model's score goes on rising while the verdict falls. Best-of-n is "
    "the unbiased estimate from the answers drawn for each prompt; the oracle picks by the verdict itself."
)
FIRST_LOOK_TEXT = "What these figures cannot be read without, the gravest first."
ADVICE_TEXT = (
    "Rules read the figures of this page: each says what it saw, and which setting of params.yaml may help. They suggest, "
    "they have not measured: turn one with dvc exp run -S, and compare."
)
TRAINING_TEXT = (
    "Each iteration's means over its episodes, with two standard errors around the reward; of the other stages every batch, "
    "faint, and a running mean. The loss of a held-out set is measured once an epoch."
)
REWARD_MODEL_TEXT = (
    "The reward model is what PPO climbs; the judge was trained apart, on comparisons set aside for it. Both are measured on "
    "pairs that they were not trained on, beside a bag of words (TF-IDF), which knows nothing but length and phrases, and "
    "beside the labelers' agreement with one another, which bounds what can be learned."
)
FILES_TEXT = (
    "The files lie in the repository beside this page. Bytes are versioned by DVC, runs by MLflow: make ui opens it, and "
    "python -m tools.where data/ppo/r1 names the run, the data, the params and the code commit behind a path."
)
SWEEP_TEXT = "On validation prompts: controlled win rate of each temperature against the same policy at temperature 1."


def lead(findings: Findings, evaluate: Metrics) -> list[str]:
    """Return the paragraphs below the headline: what it rests on, each way to decode, rivals, who decided, what could
    have been seen at all.
    """

    def both(name: str) -> str:
        plain = percent_interval(certain(findings, name).interval)
        return f"{percent_interval(controlled(findings, name))} controlled, {plain} plain"

    best, coverage = findings.best_temperature, f"{findings.settings.coverage:.0%}"
    equal = percent_interval(certain(findings, "ppo_vs_sft_length_controlled").interval)
    ways = (
        f"{CONTROL_TEXT} PPO against SFT, both sampled at temperature 1: {both('ppo_vs_sft')}; greedy: {both('ppo_vs_sft_greedy')}; "
        f"each at the temperature that suits it best (chosen on validation prompts: SFT {best['sft']:g}, PPO {best['ppo']:g}): "
        f"{both('ppo_vs_sft_best_temperature')}; sampled answers of equal length: {equal} plain. Intervals cover {coverage}."
    )
    best_of = [rate.comparison for rate in findings.win_rates if rate.comparison.name.startswith("ppo_vs_best_of_")]
    trained = [rate.comparison for rival in RIVALS if (rate := findings.win_rate(f"ppo_vs_{rival}"))]
    rivals = [f"{both(asked.name)} over {called(asked.second[0])}" for asked in [*trained, *best_of]]
    rivals[0] = f"Against cheaper rivals, sampled, PPO wins {rivals[0]}"
    strict = findings.win_rate("strict_ppo_vs_sft_greedy")
    if strict:
        rivals[-1] += (
            ". Under the strict gold (an invented fact, wrong name or repeat scores 0), PPO beats SFT greedy on "
        )
        rivals[-1] += percent_interval(strict.interval)
    paragraphs = [evidence(evaluate), ways, f"{'; '.join(rivals)}.", trivial(findings)]
    return [text for text in [*paragraphs, f"{decider(findings)} {detectable(findings)}"] if text]


def trivial(findings: Findings) -> str:
    """Return what a policy wins that says the same sentence after every answer; nothing where none was tried."""
    plain = next((rate for rate in findings.trivial if rate.comparison.name == CLOSING), None)
    if plain is None:
        return ""
    alone = controlled(findings, CLOSING)
    return (
        f"What one sentence is worth: greedy, SFT with one closing sentence added wins {percent(plain.interval.mean)} plain, "
        f"{percent(alone.mean)} controlled, against SFT as it is."
    )


def win_rate_text(findings: Findings) -> str:
    ties = findings.settings.tie_threshold
    return (
        "Each policy answers the same prompts, greedily or sampled at temperature 1; the higher score wins. Differences "
        f"below the tie threshold ({ties.gold:g} of gold, {ties.judge:g} of the judge) count half. Intervals are paired bootstraps over "
        "prompts: they say how another draw of prompts could come out, not how another training seed could. The table's are of "
        "answers as they are; the plot has the controlled ones above them."
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
        f"{percent(own['accuracy'])} of {number(own['pairs'], 0)} held-out pairs and prefers the longer answer in "
        f"{percent(own['longer_preferred_by_model'])} of them (labelers: {percent(own['longer_chosen_by_labelers'])})"
    )
    if findings.decided_by == "gold":
        return f"The embedded world's gold labeler decides, which no model has seen. Its second opinion is {judge}."
    if findings.decided_by == "judge":
        return f"This data has no gold labeler, so what decides is {judge}. Its errors are in every verdict."
    return f"The gold labeler decides prompts that have a task; what decides the others is {judge}."


def detectable(findings: Findings) -> str:
    points = number(100 * findings.detectable, 1)
    return (
        f"With {number(len(findings.prompts), 0)} prompts, a win rate {points} points away from one half is seen with "
        "80% power; smaller differences may be missed."
    )


def certain(findings: Findings, name: str) -> WinRate:
    """Return the win rate of a comparison that every evaluation makes."""
    found = findings.win_rate(name)
    assert found is not None, name
    return found


def controlled(findings: Findings, name: str) -> Interval:
    """Return the controlled win rate of a comparison that every evaluation makes."""
    found = findings.controlled_rate(name)
    assert found is not None, name
    return found.interval


def pair(asked: Comparison) -> str:
    return f"{called(asked.first[0])} against {called(asked.second[0])}"


def condition(asked: Comparison) -> str:
    """Return what is held equal, and what decides if it is not the verdict."""
    return f"{', at equal length' if asked.length_controlled else ''}{MEASURES[asked.measure]}"


def question(asked: Comparison) -> str:
    """Return a comparison in words: who against whom, the decoding, and under which condition."""
    return f"{pair(asked)}, {DECODINGS[asked.first[1]]}{condition(asked)}"


def label(asked: Comparison, heading: str) -> str:
    """Return a comparison without what the heading above it says."""
    text = question(asked).removesuffix(MEASURES[asked.measure] if asked.measure in ("strict", "controlled") else "")
    if heading.startswith("PPO against SFT"):
        return text.removeprefix("PPO against SFT, ")
    return text.removeprefix("PPO against ") if heading.startswith("Cheaper rivals") else text
