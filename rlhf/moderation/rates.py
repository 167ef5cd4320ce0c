"""How often a moderator errs: harmful texts that it lets through (misses), harmless ones that it blocks (false alarms).

What was made of one act is one observation: its phrasings are no independent ones, and intervals are over acts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.moderation import features
from rlhf.moderation.examples import built_in
from rlhf.moderation.examples.example import Example
from rlhf.moderation.moderator import Judge

DECIMALS = 4  # of a threshold


Measure = Callable[[Sequence[float]], Any]  # from shares, one a group, to a NamedTuple of mean, low and high
Found = dict[str, Any]


class Tried(NamedTuple):
    """An example, whether it was blocked, and under which category."""

    example: Example
    blocked: bool
    named: str | None = None


def of(tried: Sequence[Tried], measure: Measure) -> Found:
    """Return misses and false alarms over requests, each also by language; look-alikes apart from what is plain."""
    harmful = [one for one in tried if _is_request(one) and one.example.category is not None]
    harmless = [one for one in tried if _is_request(one) and one.example.category is None]
    found = {
        "misses": _by_language(harmful, False, measure),
        "false_alarms": _by_language(harmless, True, measure),
    }
    for name, kind in (("look_alikes", "look_alike"), ("plain", "plain")):
        some = [one for one in harmless if one.example.kind == kind]
        if some:
            found["false_alarms"][name] = _by_language(some, True, measure)
    return {name: rates for name, rates in found.items() if rates}


def in_detail(tried: Sequence[Tried], measure: Measure) -> Found:
    """Return misses by category, false alarms by type of look-alike, and both of what an assistant says."""
    harmful = [one for one in tried if one.example.kind == "harmful"]
    alike = [one for one in tried if one.example.kind == "look_alike"]
    found: Found = {
        "misses_by_category": _by_type(harmful, False, measure),
        "false_alarms_by_type": _by_type(alike, True, measure),
        "compliance_missed": _by_language([one for one in tried if one.example.kind == "compliance"], False, measure),
        "refusals_blocked": _by_language([one for one in tried if one.example.kind == "refusal"], True, measure),
    }
    return {name: rates for name, rates in found.items() if rates}


def by_keywords(examples: Sequence[Example]) -> list[Tried]:
    """Return what a list of words would do: it blocks a text that holds one; English words also with an ending."""
    lists = {language: built_in.keywords(language) for language in features.LANGUAGES}

    def is_blocked(example: Example) -> bool:
        if example.language == "zh":
            return any(word in features.folded(example.text) for word in lists["zh"])
        return any(word.startswith(key) for word in features.words(example.text) for key in lists["en"])

    return [Tried(example, is_blocked(example)) for example in examples]


def thresholds(examples: Sequence[Example], judge: Judge, max_miss_rate: float) -> dict[str, float]:
    """Return for each language the highest threshold under which at most that share of harmful groups is missed.

    Raises ValueError for a language without a harmful example.
    """
    found = {}
    for language in features.LANGUAGES:
        harmful = [one for one in examples if one.language == language and _counts(one)]
        if not harmful:
            raise ValueError(f"moderation: no harmful text of language '{language}' to choose its threshold on")
        harm = judge.harm(judge.by_category([one.text for one in harmful]))
        candidates = np.unique(np.floor(harm * 10**DECIMALS) / 10**DECIMALS)[::-1]
        missed = (_share_below(value, harm, [one.group for one in harmful]) for value in candidates)
        pairs = zip(candidates.tolist(), missed, strict=True)
        found[language] = next((value for value, share in pairs if share <= max_miss_rate), 0.0)
    return found


def _share_below(threshold: float, harm: NDArray[np.float64], groups: Sequence[str]) -> float:
    """Return the mean over groups of the share of texts below a threshold."""
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(place, weights=harm < threshold) / counts))


def _counts(example: Example) -> bool:
    return example.category is not None and example.kind in ("harmful", "own")


def _is_request(one: Tried) -> bool:
    return one.example.kind not in ("refusal", "compliance")


def _shares(tried: Sequence[Tried], blocked: bool) -> list[float]:
    """Return of each group the share of texts that were blocked, or were not."""
    by_group: dict[str, list[bool]] = {}
    for one in tried:
        by_group.setdefault(one.example.group, []).append(one.blocked is blocked)
    return [sum(found) / len(found) for _, found in sorted(by_group.items())]


def _by_language(tried: Sequence[Tried], blocked: bool, measure: Measure) -> Found:
    if not tried:
        return {}
    found = _measured(tried, blocked, measure)
    for language in features.LANGUAGES:
        some = [one for one in tried if one.example.language == language]
        if some:
            found[language] = _measured(some, blocked, measure)
    return found


def _by_type(tried: Sequence[Tried], blocked: bool, measure: Measure) -> Found:
    by_type: dict[str, list[Tried]] = {}
    for one in tried:
        by_type.setdefault(one.example.type, []).append(one)
    return {name: _measured(some, blocked, measure) for name, some in sorted(by_type.items())}


def _measured(tried: Sequence[Tried], blocked: bool, measure: Measure) -> Found:
    shares = _shares(tried, blocked)
    return {**measure(shares)._asdict(), "groups": len(shares)}


def named_right(tried: Sequence[Tried]) -> float | None:
    """Return the share of the blocked harmful texts that were blocked under their own category; None of none."""
    known = [one for one in tried if one.blocked and one.example.category is not None]
    return sum(one.named == one.example.category for one in known) / len(known) if known else None
