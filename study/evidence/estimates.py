"""One effect over seeds: its mean, and an error that knows of seeds as well as of prompts.

Of the effects d_s on k seeds the mean is d = sum(d_s) / k, and its squared error

    between / k + within

- within: the variance of d over prompts, clustered (Liang and Zeger 1986): of C clusters

      C / (C - 1) * sum over clusters of (sum of (1 / k) influence_s,i over seeds s and the cluster's prompts i)^2.

  A prompt that several seeds share is one case, not one a seed. Of several clusterings the largest variance counts.
- between: the variance of an effect from seed to seed. Three seeds tell little of it (t has 2 degrees of freedom), so
  it is pooled over all cells of one column. Their figures are fitted by cell + seed, a two-way layout, no more terms
  (Fisher 1925), whose residual mean square is the variance of one cell's figure; a difference of two cells has twice
  that. An effect that differs more from seed to seed than the pool says keeps its own variance.

The interval is d +- t * error (Student 1908). The degrees of freedom of t are those of the sum of both parts
(Satterthwaite 1946): its square over the sum of each part's square over its own degrees, the pool's and C - 1. The
figures of `between` are means over prompts, so that some of the prompts' noise is counted twice: intervals are rather
too wide than too narrow.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf.evaluation.statistics import Interval
from study.evidence import student

Clustering = Mapping[str, str]  # the cluster of each unit


class Sample(NamedTuple):
    """An effect on one seed.

    influences: what each unit (a prompt, a comparison) adds to its error, in sum 0; then the same by cluster, a mapping
    a clustering. extra: variance that no unit accounts for.
    """

    effect: float
    influences: Sequence[Mapping[str, float]]
    extra: float = 0.0

    def minus(self, other: "Sample") -> "Sample":
        """Return the difference of two effects, paired by unit and by cluster."""
        pairs = zip(self.influences, other.influences, strict=True)
        influences = [
            {name: one.get(name, 0.0) - two.get(name, 0.0) for name in sorted(one.keys() | two.keys())}
            for one, two in pairs
        ]
        return Sample(self.effect - other.effect, influences, self.extra + other.extra)


class Part(NamedTuple):
    """A variance that was estimated, on so many degrees of freedom."""

    variance: float
    freedom: int


class Estimate(NamedTuple):
    """An effect over seeds, its standard error, and the t that belongs to it."""

    effect: float
    error: float
    freedom: int
    of_seeds: Sequence[float]  # the effect on each
    knows_seeds: bool  # whether the error has the seeds' variance in it

    def interval(self, coverage: float) -> Interval:
        reach = student.quantile(coverage, self.freedom) * self.error
        return Interval(self.effect, self.effect - reach, self.effect + reach)

    def beyond(self, bound: float, sign: int) -> float:
        """Return the p-value of one-sided t: how likely so large an effect is where the true one is `bound`.

        sign: 1 where effects above the bound are looked for, -1 below.
        """
        distance = sign * (self.effect - bound)
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return student.tail(distance / self.error, self.freedom)


def mean(values: Mapping[str, float], clusterings: Sequence[Clustering] = ()) -> Sample:
    """Return the mean of units' values."""
    found = sum(values.values()) / len(values)
    return _sample(found, {unit: (value - found) / len(values) for unit, value in values.items()}, clusterings)


def share(rows: Mapping[str, Sequence[float]], clusterings: Sequence[Clustering] = ()) -> Sample:
    """Return the share of right pairs; rows: (right, pairs) of each unit. A ratio's influence is its linear part."""
    total = sum(pairs for _, pairs in rows.values())
    found = sum(right for right, _ in rows.values()) / total
    influence = {unit: (right - found * pairs) / total for unit, (right, pairs) in rows.items()}
    return _sample(found, influence, clusterings)


def within(samples: Sequence[Sample]) -> Part:
    """Return the variance over units of the mean of the effects, by the widest clustering that all seeds have."""
    found = [Part(0.0, 1)]
    for of_seeds in zip(*(sample.influences for sample in samples), strict=False):
        total: dict[str, float] = defaultdict(float)
        for influences in of_seeds:
            for cluster, value in influences.items():
                total[cluster] += value / len(samples)
        count = len(total)
        if count > 1:
            found.append(Part(count / (count - 1) * sum(value * value for value in total.values()), count - 1))
    widest = max(found)
    return widest._replace(variance=widest.variance + sum(sample.extra for sample in samples) / len(samples) ** 2)


def spread(figures: Mapping[tuple[str, int], float]) -> Part | None:
    """Return the variance of a cell's figure from seed to seed, beside what all cells of a seed share.

    figures: by (cell, seed). None where they show none; cells of one seed add nothing to it.
    """
    cells = {name: place for place, name in enumerate(dict.fromkeys(cell for cell, _ in figures))}
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(seed for _, seed in figures), len(cells))}
    design = np.zeros((len(figures), len(cells) + len(seeds)))
    for row, (cell, seed) in enumerate(figures):
        design[row, [cells[cell], seeds[seed]]] = 1
    values = np.array([*figures.values()], dtype=np.float64)
    freedom = len(values) - int(np.linalg.matrix_rank(design)) if figures else 0
    if freedom == 0:
        return None
    residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return Part(float(residual @ residual) / freedom, freedom)


def over_seeds(samples: Sequence[Sample], pool: Part | None) -> Estimate:
    """Return the mean of the seeds' effects, each a difference of two figures of the pool's column."""
    effects = [sample.effect for sample in samples]
    count = len(effects)
    own = Part(float(np.var(effects, ddof=1)), count - 1) if count > 1 else Part(0.0, 1)
    seeds = Part(max(2 * pool.variance, own.variance), pool.freedom) if pool else own
    parts = [Part(seeds.variance / count, seeds.freedom), within(samples)]
    error = sum(part.variance for part in parts) ** 0.5
    return Estimate(float(np.mean(effects)), error, _freedom(parts), effects, bool(pool) or count > 1)


def _freedom(parts: Sequence[Part]) -> int:
    """Return the degrees of freedom of a sum of variances (Satterthwaite 1946), whole ones."""
    total, weighed = sum(part.variance for part in parts), sum(part.variance**2 / part.freedom for part in parts)
    return max(1, int(total**2 / weighed + 1e-9)) if total else 1


def _sample(effect: float, influence: Mapping[str, float], clusterings: Sequence[Clustering]) -> Sample:
    grouped = [influence]
    for clustering in clusterings:
        sums: dict[str, float] = defaultdict(float)
        for unit, value in influence.items():
            sums[clustering[unit]] += value
        grouped.append(sums)
    return Sample(effect, grouped)
