"""What an effect says of an expectation: the p-value to be corrected for all claims, and the verdict with its reasons.

Both ask for the same thing: that what would refute the expectation lies outside the interval.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rlhf.evaluation.statistics import Interval
from study.evidence.estimates import Estimate

Expected = Literal["positive", "negative", "none"] | list[float]  # a sign, no effect, or a range
Verdict = Literal["confirmed", "not confirmed", "inconclusive", "not yet rerun"]

FEWEST_SEEDS = 3


class Judgement(NamedTuple):
    verdict: Verdict
    reasons: Sequence[str]  # what keeps it from being confirmed, or should be known


def p_value(found: Estimate, expected: Expected, matters: float) -> float:
    """Return 1 - the largest coverage at which the interval still excludes what would refute the expectation.

    Of a sign: twice the tail of t beyond 0 on the expected side. Of no effect, and of a range: the larger of two such
    tests, one a bound (Schuirmann 1987). An error that knows nothing of other seeds has none: 1.
    """
    if not found.knows_seeds:
        return 1.0
    bounds = {"positive": [(0.0, 1)], "negative": [(0.0, -1)], "none": [(-matters, 1), (matters, -1)]}
    asked = bounds[expected] if isinstance(expected, str) else [(expected[0], 1), (expected[1], -1)]
    return min(1.0, 2 * max(found.beyond(bound, sign) for bound, sign in asked))


def by_interval(found: Interval, expected: Expected, matters: float) -> Verdict:
    """Return what an interval alone says.

    Of a sign: confirmed where all of it is at least `matters` on that side, not confirmed where none of it is. Of no
    effect: confirmed where all of it is less than `matters` either way, not confirmed where none of it is. Of a range:
    confirmed inside it, not confirmed outside.
    """
    if expected == "none":
        expected = [-matters, matters]
    elif isinstance(expected, str):
        low, high = (-found.high, -found.low) if expected == "negative" else (found.low, found.high)
        if low >= matters:
            return "confirmed"
        return "not confirmed" if high < matters else "inconclusive"
    low, high = expected
    if low <= found.low and found.high <= high:
        return "confirmed"
    return "not confirmed" if found.high < low or found.low > high else "inconclusive"


def judged(found: Estimate, expected: Expected, matters: float, adjusted: float, coverage: float) -> Judgement:
    """Return the verdict on an effect. adjusted: its p-value, corrected for all claims (Holm 1979).

    An interval that confirms is not enough: it takes three seeds, and an adjusted p-value below 1 - coverage. One that
    knows nothing of other seeds refutes nothing either.
    """
    verdict, count = by_interval(found.interval(coverage), expected, matters), len(found.of_seeds)
    reasons = []
    if count < FEWEST_SEEDS:
        reasons.append("one seed" if count == 1 else f"{count} seeds, fewer than {FEWEST_SEEDS}")
    if not found.knows_seeds:
        reasons.append("its interval knows nothing of other seeds")
    if min(found.of_seeds) < 0 < max(found.of_seeds):
        reasons.append("the seeds disagree in sign")
    is_significant = adjusted < round(1 - coverage, 9)
    if verdict == "confirmed" and count >= FEWEST_SEEDS and not is_significant:
        reasons.append("its interval alone would do, but not after Holm's correction for all claims")
    if not found.knows_seeds or (verdict == "confirmed" and (not is_significant or count < FEWEST_SEEDS)):
        verdict = "inconclusive"
    return Judgement(verdict, reasons)
