"""Whole columns of cells: the figures of all policies, and reward models on the comparisons that two of them share."""

from collections.abc import Mapping, Sequence
from typing import Any

from study import cells
from study.evidence import estimates, laboratory
from study.evidence.estimates import Sample
from study.evidence.laboratory import Laboratory


def of_policies(cell: Mapping[str, Any], decoding: str, name: str) -> dict[str, list[float]]:
    """Return a column of all policies that have it. Best of n is SFT picked over, and would count SFT several times."""
    found = {policy: own for policy, own in cells.policies(cell).items() if not policy.startswith("best_of_")}
    if name in cells.PIECES:
        return {policy: own["probes"][name] for policy, own in found.items() if "probes" in own}
    return {policy: own[decoding][name] for policy, own in found.items() if name in own.get(decoding, {})}


def held_out(of: Laboratory, names: Sequence[str], part: str, by: str) -> list[Sample]:
    """Return the accuracies of two cells' reward models, each on the comparisons that both were measured on.

    Raises cells.Missing, and ValueError where they share none.
    """
    rows = [cells.accuracy(of.read(name), part, by) for name in names]
    both = sorted(rows[0].keys() & rows[1].keys())
    if not both:
        raise ValueError(f"{names[0]} and {names[1]} share no comparison")
    cell = of.read(names[0])
    clusterings = laboratory.clusterings(cell, part, cell["reward_model"][part]["comparisons"])
    return [estimates.share({key: own[key] for key in both}, clusterings) for own in rows]


def accuracy(cell: Mapping[str, Any], part: str, by: str) -> float:
    """Return the share of a cell's held-out pairs that its reward model has right."""
    rows = cells.accuracy(cell, part, by).values()
    return sum(right for right, _ in rows) / sum(pairs for _, pairs in rows)
