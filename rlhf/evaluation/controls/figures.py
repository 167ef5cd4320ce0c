"""The controlled figures of metrics/evaluate.json."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlhf.evaluation.statistics import Interval, Overlap

if TYPE_CHECKING:
    from rlhf.evaluation.findings import Findings


def metrics(findings: "Findings") -> dict[str, Any]:
    """Return win rates and differences of means with their intervals, by the names of the questions.

    The strict gold pays nothing for politeness: its win rates are controlled as they stand.
    """
    rates = {rate.comparison.name: rate.interval for rate in findings.controlled}
    rates |= {rate.comparison.name: rate.interval for rate in findings.win_rates if rate.comparison.measure == "strict"}
    content: dict[str, Any] = {
        "controlled": _shown(rates),
        "controlled_ties": {rate.comparison.name: rate.ties for rate in findings.controlled},
        "difference": _shown(findings.differences),
        "controlled_difference": _shown(findings.controlled_differences),
        "trivial": _shown({rate.comparison.name: rate.interval for rate in findings.trivial}),
        "controlled_mean": _shown(
            {f"{policy}_{decoding}": mean for (policy, decoding), mean in findings.controlled_means.items()}
        ),
        "length_overlap": {name: _overlap(found) for name, found in findings.length_overlap.items()},
    }
    for division, parts in findings.controlled_parts.items():
        content[f"controlled_by_{division}"] = {part: _shown(found) for part, found in parts.items()}
    return content


def _shown(found: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval._asdict() for name, interval in found.items()}


def _overlap(found: Overlap) -> dict[str, float]:
    """Return the share of pairs of like lengths, and the win rate among them where there are any."""
    return {"share": found.share} | (found.win_rate._asdict() if found.win_rate else {})
