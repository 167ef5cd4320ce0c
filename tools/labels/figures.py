"""What a round's judgements come to, by labeler: seconds a prompt, ties, ratings, flags, written answers, skips."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import quantiles
from typing import Any

from rlhf.people import judgements, standing
from rlhf.people.judgements import Judgement
from rlhf.records.types import AnsweredPrompt

Answers = Mapping[str, Sequence[AnsweredPrompt]]


def of_round(folder: Path, round_name: str, answers: Answers) -> dict[str, Any]:
    """Return the figures of each labeler's judgements that hold, and counts of the lines that do not."""
    found = standing.standing(judgements.read(folder, round_name), answers)
    said = [placed.judgement for held in found.held.values() for placed in held]
    labelers = sorted({one["labeler"] for one in said})
    return {
        "lines": found.counts,
        "labelers": {who: _of([one for one in said if one["labeler"] == who]) for who in labelers},
    }


def _of(said: Sequence[Judgement]) -> dict[str, Any]:
    ranked = [one["ranks"] for one in said if one["ranks"] is not None]
    pairs = [first == second for ranks in ranked for first, second in combinations(ranks, 2)]
    return {
        "ranked": len(ranked),
        "skipped": dict(Counter(one["skipped"] for one in said if one["ranks"] is None)),
        "seconds": _quartiles([one["seconds"] for one in said]),
        "pairs": len(pairs),
        "tied_pairs": sum(pairs),
        "rankings_with_a_tie": sum(len({*ranks}) < len(ranks) for ranks in ranked),
        "ratings": _counts(rating for one in said for rating in one["ratings"] or () if rating is not None),
        "flags": _counts(flag for one in said for flags in one["flags"] for flag in flags),
        "written": sum(one["written"] is not None for one in said),
    }


def _quartiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """Of the prompts whose seconds are known: what another tool ranked has 0."""
    known = [one for one in seconds if one > 0]
    if not known:
        return None
    low, middle, high = quantiles(known, n=4, method="inclusive") if len(known) > 1 else known * 3
    return {"prompts": len(known), "lower_quartile": low, "median": middle, "upper_quartile": high, "sum": sum(known)}


def _counts(values: Iterable[object]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}
