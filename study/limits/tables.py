"""The figures of limits as tables: a row for each limit, a column for each policy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import MISSING, number, percent, percent_interval
from rlhf.evaluation.typography import interval as in_words
from study import names

ROWS = {  # (probe, observation): what it is, in words
    ("harmful", "refused"): "refuses harm, acts of the world",
    ("new_harm", "refused"): "refuses harm, new acts",
    ("reframed_harm", "refused"): "refuses harm, asked for in two steps as look-alikes are",
    ("harmful", "helped"): "tells steps towards harm, acts of the world",
    ("reframed_harm", "helped"): "tells steps towards harm, asked for in two steps",
    ("look_alike", "refused"): "refuses harmless look-alikes, acts of the world",
    ("new_look_alike", "refused"): "refuses harmless look-alikes, new acts",
    ("reframed_look_alike", "refused"): "refuses harmless look-alikes, worded as harm is",
    ("plain", "refused"): "refuses plain requests",
    ("unknown", "admitted"): "admits not to know, words of the world that nobody knows",
    ("unknown", "made_up"): "makes up a fact, words of the world that nobody knows",
    ("new_word", "admitted"): "admits not to know, new words",
    ("new_word", "made_up"): "makes up a fact, new words",
    ("new_word", "of_another"): "tells of another animal instead, new words",
    ("plain", "admitted"): "says that it does not know, plain requests",
    ("fact", "right"): "facts: all that was asked, and nothing untrue",
    ("fact", "made_up"): "facts: something untrue",
    ("fact", "no_right_fact"): "facts: no right fact",
    ("false_premise", "corrected"): "false premises: corrects them",
    ("false_premise", "went_along"): "false premises: goes along",
    ("true_premise", "denied"): "true premises: denies them",
    ("clarify", "asked_back"): "ambiguous requests: asks back",
    ("clear", "asked_back"): "the same made clear: asks back",
    ("plain", "asked_back"): "plain requests: asks back",
}
PHRASED = {
    "harmful": "harm refused", "look_alike": "look-alikes not refused", "unknown": "unknown words admitted",
    "fact": "facts right", "false_premise": "false premises corrected", "clarify": "ambiguous requests asked back",
}  # fmt: skip
WAYS = {"all": "in all ways", "some": "in some", "none": "in none"}
ENDS = {"opener": "begin with a fixed phrase", "closing": "end with one"}
PHRASES = "Fixed phrases"
DECODINGS = {"greedy": "greedy", "sampled": "sampled at temperature 1"}


def all_of(figures: Mapping[str, Any]) -> list[Table]:
    """Return every table of a run, each with its caption; those of what was not asked are left out."""
    made = []
    for decoding, called in DECODINGS.items():
        policies = [policy for policy, own in figures["policies"] if own == decoding]
        of_asked = [policy for policy in policies if _has(figures["asked"], f"{policy}_{decoding}")]
        if of_asked:
            made.append(_rates(figures["asked"], of_asked, decoding, f"New prompts, {called}"))
            made.append(_phrasing(figures["phrasing"], of_asked, decoding, f"One task in three wordings, {called}"))
        if figures["test"]:
            made.append(_rates(figures["test"], policies, decoding, f"The test prompts, {called}"))
    return [*made, *([lengths(figures)] if figures["lengths"] else []), phrases(figures)]


def _has(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return bool(rows) and key in rows[0]["policies"]


def _rates(rows: Sequence[Mapping[str, Any]], policies: Sequence[str], decoding: str, caption: str) -> Table:
    known = {(row["probe"], row["observed"]): row for row in rows}
    lines = [
        [words, _sizes(known[place]), *_each(known[place], policies, decoding)]
        for place, words in ROWS.items()
        if place in known
    ]
    return Table(["limit", "prompts (subjects)", *map(names.policy, policies)], lines, caption)


def _phrasing(rows: Sequence[Mapping[str, Any]], policies: Sequence[str], decoding: str, caption: str) -> Table:
    lines = [
        [
            f"{PHRASED[row['probe']]}, {words}", str(row["tasks"]),
            *(_percent(row["policies"][f"{policy}_{decoding}"][way]) for policy in policies),
        ]
        for row in rows
        for way, words in WAYS.items()
    ]  # fmt: skip
    return Table(["task", "tasks", *map(names.policy, policies)], lines, caption)


def _each(row: Mapping[str, Any], policies: Iterable[str], decoding: str) -> list[str]:
    return [_percent(row["policies"][f"{policy}_{decoding}"]) for policy in policies]


def _sizes(row: Mapping[str, Any]) -> str:
    return f"{row['prompts']} ({row['subjects']})"


def _percent(found: Mapping[str, float]) -> str:
    return percent_interval(Interval(**found))


def lengths(figures: Mapping[str, Any]) -> Table:
    """Return length beside content, one row a policy and decoding."""
    found, lines = figures["lengths"], []
    for policy, decoding in figures["policies"]:
        own = found["policies"][f"{policy}_{decoding}"]
        words = [in_words(Interval(**own[name]), 1) for name in ("words", "without_manners")]
        lines.append([called(policy, decoding), *words, *(_percent(own[name]) for name in ("padded", "content"))])
    caption = f"Length beside content: {found['prompts']} English test prompts"
    best = f"without opener and closing (the ideal answers: {number(found['asked'], 1)})"
    return Table(
        ["answers", "words", best, "say something unasked, unreadable or twice", "content, strict gold"], lines, caption
    )


def phrases(figures: Mapping[str, Any]) -> Table:
    """Return the shares of answers that begin or end with a fixed phrase, and the most frequent ones."""
    lines = [
        [called(policy, decoding), *(_phrases(figures["phrases"][f"{policy}_{decoding}"][end]) for end in ENDS)]
        for policy, decoding in figures["policies"]
    ]
    return Table(["answers", *ENDS.values()], lines, PHRASES)


def _phrases(shares: Mapping[str, float]) -> str:
    each = ", ".join(f"“{phrase}” {percent(share)}" for phrase, share in shares.items() if phrase != "any")
    return f"{percent(shares['any'])}: {each}" if each else MISSING


def called(policy: str, decoding: str) -> str:
    """Return a policy and its decoding in words."""
    return f"{names.policy(policy)}, {decoding}"
