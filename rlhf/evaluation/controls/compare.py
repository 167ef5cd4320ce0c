"""What is left of a win when both answers are given the same politeness, and by how much the better side is better.

Prompts repeat tasks and subjects (`clusters`), and are no independent cases. So every interval here is the widest of
three bootstraps: over prompts, over tasks and over subjects.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf.evaluation import statistics, verdicts
from rlhf.evaluation.controls import clusters, trivial
from rlhf.evaluation.controls.sides import Sides
from rlhf.evaluation.findings import SLICED
from rlhf.evaluation.statistics import Array, Bootstrap, Interval, Overlap
from rlhf.evaluation.verdicts import Comparison, Judged, Key, WinRate
from rlhf.params.evaluate import TieThreshold

DIVISIONS = ("language", "turns")


class Controls(NamedTuple):
    """The controlled fields of Findings; those by name have the trivial policies' questions among them."""

    controlled: Sequence[WinRate]
    differences: Mapping[str, Interval]
    controlled_differences: Mapping[str, Interval]
    trivial: Sequence[WinRate]
    controlled_means: Mapping[Key, Interval]
    controlled_parts: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    length_overlap: Mapping[str, Overlap]


def conclude(
    policies: Sides,
    tricks: Sides,
    judged: Mapping[Key, Sequence[Judged]],
    asked: Sequence[Comparison],
    ties: TieThreshold,
    bootstrap: Bootstrap,
) -> Controls:
    """Return every controlled figure of policies and of the trivial ones (`tricks`, which may be of no prompts)."""
    own = [question for question in asked if question.measure == "verdict" and not question.length_controlled]
    table = _Table(policies, ties, bootstrap)
    rows = [(table, question) for question in own]
    if tricks.prompts:
        beside = _Table(tricks, ties, bootstrap)
        rows += [(beside, question) for question in trivial.QUESTIONS]
    return Controls(
        controlled=[of.rate(question, of.sides.controlled, "controlled") for of, question in rows],
        differences={question.name: of.difference(question, of.sides.plain) for of, question in rows},
        controlled_differences={question.name: of.difference(question, of.sides.controlled) for of, question in rows},
        trivial=[of.rate(question, of.sides.plain, "verdict") for of, question in rows if of is not table],
        controlled_means={key: table.interval(scores) for key, scores in policies.controlled.items()},
        controlled_parts=_by_part(policies, own, ties, bootstrap),
        length_overlap={
            question.name: table.overlap(question, judged) for question in asked if question.length_controlled
        },
    )


def sweep(sides: Sides, against: Key, ties: TieThreshold, bootstrap: Bootstrap) -> dict[Key, tuple[Interval, float]]:
    """Return everyone's controlled win rate against one of them, and controlled mean score."""
    table = _Table(sides, ties, bootstrap)
    return {
        key: (table.rate(Comparison("", key, against), sides.controlled, "controlled").interval, float(scores.mean()))
        for key, scores in sides.controlled.items()
    }


class _Table:
    """Compares policies on one set of prompts."""

    def __init__(self, sides: Sides, ties: TieThreshold, bootstrap: Bootstrap):
        self.sides, self.bootstrap = sides, bootstrap
        self.ties = np.where(["task" in prompt for prompt in sides.prompts], ties.gold, ties.judge)[:, None]  # [B, 1]
        self.clusterings = clusters.of(sides.prompts)

    def interval(self, values: Array) -> Interval:
        """Return the interval of values [B, D]: a prompt's draws are averaged first, and are no further cases."""
        return statistics.widest_interval(values.mean(axis=1), self.bootstrap, self.clusterings)

    def rate(self, question: Comparison, scores: Mapping[Key, Array], measure: str) -> WinRate:
        outcome = statistics.outcomes(scores[question.first], scores[question.second], self.ties)
        ties = float(np.mean(outcome == statistics.TIE))
        return WinRate(question._replace(measure=measure), self.interval(outcome), len(outcome), ties)

    def difference(self, question: Comparison, scores: Mapping[Key, Array]) -> Interval:
        return self.interval(scores[question.first] - scores[question.second])

    def overlap(self, question: Comparison, judged: Mapping[Key, Sequence[Judged]]) -> Overlap:
        sides = question.first, question.second
        first, second = (self.sides.plain[key][:, 0] for key in sides)
        lengths = [[answer.num_tokens for answer in judged[key]] for key in sides]
        outcome = statistics.outcomes(first, second, self.ties[:, 0])
        return statistics.paired_length_overlap(outcome, lengths[0], lengths[1], self.bootstrap, self.clusterings)


def _by_part(
    sides: Sides, asked: Sequence[Comparison], ties: TieThreshold, bootstrap: Bootstrap
) -> dict[str, dict[str, dict[str, Interval]]]:
    """Return the controlled win rates of SLICED by division and part of the prompts."""
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    divided = verdicts.slices(sides.prompts)
    for division in DIVISIONS:
        for part, indices in divided[division].items():
            found.setdefault(division, {})[part] = part_rates(sides.among(indices), asked, ties, bootstrap)
    return found


def part_rates(
    sides: Sides, asked: Sequence[Comparison], ties: TieThreshold, bootstrap: Bootstrap
) -> dict[str, Interval]:
    """Return the controlled win rates of SLICED on one part of the prompts."""
    table = _Table(sides, ties, bootstrap)
    return {
        question.name: table.rate(question, sides.controlled, "controlled").interval
        for question in asked
        if question.name in SLICED
    }
