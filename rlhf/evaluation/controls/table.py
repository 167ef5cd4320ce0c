"""The report's table of win rates with one closing each."""

from rlhf.evaluation import report_words as words
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.report_page import Table
from rlhf.evaluation.typography import interval, percent, percent_interval
from rlhf.evaluation.verdicts import Comparison

TITLE = "With one closing each"
TEXT = (
    "A win rate counts one polite sentence as much as a better answer, so here all answers are scored again in one "
    "form: without openers and with one fixed closing (where a prompt has no task of the embedded world: without the "
    "sentences that begin or end many answers). Intervals are the widest of three, over prompts, over tasks and over "
    "subjects; only those of policies' win rates as answered are over prompts alone."
)
TRIVIAL = {
    "closing": "SFT and a fixed closing",
    "closing_feedme": "FeedME and a fixed closing",
    "copy": "the prompt's last words",
    "refuse": "a refusal of everything",
}
COLUMNS = (
    "comparison", "win rate as answered", "win rate with one closing each", "ties, each half a win",
    "difference of means as answered", "difference of means with one closing each",
)  # fmt: skip


def controlled(findings: Findings) -> Table:
    """Return one row a question, the trivial policies last."""
    plain = {rate.comparison.name: rate.interval for rate in [*findings.win_rates, *findings.trivial]}
    rows = []
    for rate in findings.controlled:
        name = rate.comparison.name
        rates = (percent_interval(plain[name], 1), percent_interval(rate.interval, 1), percent(rate.ties))
        differences = (findings.differences[name], findings.controlled_differences[name])
        rows.append([called(rate.comparison), *rates, *(interval(found, 3, sign=True) for found in differences)])
    strong = [index for index, rate in enumerate(findings.controlled) if rate.comparison.first[0] == "ppo"]
    return Table(COLUMNS, rows, "Win rates and differences of means, as answered and controlled", strong)


def called(asked: Comparison) -> str:
    """Return a comparison in words."""
    policy, decoding = asked.first
    if policy not in TRIVIAL:
        return words.question(asked._replace(measure="verdict"))
    return f"{TRIVIAL[policy]} against {words.called(asked.second[0])}, {words.DECODINGS[decoding]}"
