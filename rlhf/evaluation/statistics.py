"""What evaluation may claim: win rates, intervals by bootstrap over prompts, length control, best-of-n without bias.

Arrays in, numbers out; one entry a prompt (`B` prompts, `N` answers a prompt). Every function sorts what it resamples,
so the order of prompts changes nothing, and every random draw comes from the given seed.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import comb, log
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
TIE = 0.5  # what a tie counts


class Interval(NamedTuple):
    """A mean and the bounds of its bootstrap interval."""

    mean: float
    low: float
    high: float


class Bootstrap(NamedTuple):
    """How intervals are drawn: number of resamples, coverage (0.95 = a 95% interval), seed."""

    resamples: int
    coverage: float
    seed: int


class Overlap(NamedTuple):
    """The pairs of answers of like lengths: their share of all, and the win rate among them, where there are any."""

    share: float
    win_rate: Interval | None


def outcomes(first: ArrayLike, second: ArrayLike, tie_threshold: ArrayLike) -> Array:
    """Return 1 where `first` wins, 0 where `second` does, 0.5 where |difference| < `tie_threshold` or none.

    first, second: scores [B] of the two answers to each prompt; tie_threshold: a number or [B]. Returns [B].
    Raises ValueError for unequal shapes or scores that are not finite.
    """
    first, second = _finite(first), _finite(second)
    if first.shape != second.shape:
        raise ValueError(f"outcomes: expected equal shapes, got {first.shape} and {second.shape}")
    difference = first - second
    tie = (np.abs(difference) < tie_threshold) | (difference == 0)
    return np.where(tie, TIE, (difference > 0).astype(np.float64))


def mean_interval(values: ArrayLike, bootstrap: Bootstrap, clusters: Sequence[str] | None = None) -> Interval:
    """Return the mean of `values` [B] with its percentile interval over resampled prompts (Efron 1979).

    Given the outcomes of pairs of answers to the same prompts, this is the paired bootstrap of the win rate. Prompts of
    one cluster (`clusters`: an id a prompt) are no independent cases: then whole clusters are resampled.
    """
    if clusters is not None:
        return _clustered(_finite(values), clusters, bootstrap)
    values = np.sort(_finite(values))
    means = values[_resampled(len(values), bootstrap)].mean(axis=1)  # [resamples]
    return Interval(float(values.mean()), *_bounds(means, bootstrap.coverage))


def widest_interval(values: ArrayLike, bootstrap: Bootstrap, clusterings: Iterable[Sequence[str]]) -> Interval:
    """Return the mean of `values` [B] with the widest of its intervals over prompts and each clustering of them."""
    found = [mean_interval(values, bootstrap, clusters) for clusters in (None, *clusterings)]
    return max(found, key=lambda interval: interval.high - interval.low)


def share_interval(shares: ArrayLike, coverage: float) -> Interval:
    """Return the mean of `shares` [B], each in 0..1, with Wilson's score interval (Wilson 1927).

    It is that of a share of B yes-or-no outcomes; numbers between the two vary less, so for them it is wide enough.
    Where all are 0, or all 1, it still says how little B observations exclude.
    """
    values = _finite(shares)
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"share_interval: expected shares in 0..1, got {values.min():g} to {values.max():g}")
    share, count = float(values.mean()), len(values)
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5 / (1 + z * z / count)
    return Interval(share, max(0.0, centre - reach), min(1.0, centre + reach))


def length_controlled(outcome: ArrayLike, log_length_ratio: ArrayLike, bootstrap: Bootstrap) -> Interval:
    """Return the win rate that remains between answers of equal length, with its bootstrap interval.

    Fits P(win) = sigmoid(theta + phi * log(length of first / length of second)) to the outcomes [B] (ties 0.5) and
    returns sigmoid(theta): the length control of Stiennon et al. 2020, and in spirit that of Dubois et al. 2024.
    """
    outcome, ratio = _finite(outcome), _finite(log_length_ratio)
    if outcome.shape != ratio.shape:
        raise ValueError(f"length_controlled: expected equal shapes, got {outcome.shape} and {ratio.shape}")
    order = np.lexsort((outcome, ratio))
    outcome, ratio = outcome[order], ratio[order]
    whole = _fit_logistic(outcome[None], ratio[None], np.zeros((1, 2)))  # [1, 2]
    picks = _resampled(len(outcome), bootstrap)
    start = np.repeat(whole, len(picks), axis=0)
    thetas = _fit_logistic(outcome[picks], ratio[picks], start)[:, 0]  # [resamples]
    return Interval(float(_sigmoid(whole[0, 0])), *_bounds(_sigmoid(thetas), bootstrap.coverage))


def paired_length_overlap(
    outcome: ArrayLike,
    first: Sequence[int],
    second: Sequence[int],
    bootstrap: Bootstrap,
    clusterings: Iterable[Sequence[str]],
) -> Overlap:
    """Return how many pairs have answers of like lengths, and their win rate: what length control has to go by.

    Like: the longer of `first` and `second` (lengths [B]) has at most a tenth more than the shorter. Where few pairs
    are like, `length_controlled` extrapolates from the others by its logistic form. The interval is the widest one.
    """
    outcome = _finite(outcome)
    like = [index for index, pair in enumerate(zip(first, second, strict=True)) if 10 * max(pair) <= 11 * min(pair)]
    within = [[clusters[index] for index in like] for clusters in clusterings]
    won = widest_interval(outcome[like], bootstrap, within) if like else None
    return Overlap(len(like) / len(outcome), won)


def holm(pvalues: ArrayLike) -> Array:
    """Return p-values [M] adjusted so that all claims together err at most that often (Holm 1979), in their order.

    The k-th smallest of M is multiplied by M - k + 1, and is never below a smaller one's, nor above 1.
    """
    found = _finite(pvalues)
    if found.min() < 0 or found.max() > 1:
        raise ValueError(f"holm: expected p-values in 0..1, got {found.min():g} to {found.max():g}")
    order = np.argsort(found, kind="stable")
    adjusted = np.empty_like(found)
    adjusted[order] = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)).clip(max=1)
    return adjusted


def minimum_detectable_effect(num_prompts: int, coverage: float, power: float = 0.8) -> float:
    """Return the distance from 0.5 that a win rate over `num_prompts` prompts shows with `power`, stated beforehand.

    (z_(1 - alpha/2) + z_power) * s / sqrt(B), s = 0.5 being the largest standard deviation of outcomes in [0, 1].
    """
    normal = NormalDist()
    return (normal.inv_cdf((1 + coverage) / 2) + normal.inv_cdf(power)) * 0.5 / num_prompts**0.5


def best_of_n(proxy: ArrayLike, gold: ArrayLike, n: int) -> Array:
    """Return the expected gold score [B] of the answer that the proxy likes best among n, from N >= n answers each.

    Unbiased (Nakano et al. 2021, App. I; Gao et al. 2022): with the answers of a prompt sorted by proxy score,
    the i-th lowest is the best of a random n of them with probability C(i-1, n-1) / C(N, n).
    proxy, gold: [B, N]. Raises ValueError for unequal shapes or n outside 1..N.
    """
    proxy, gold = _finite(proxy), _finite(gold)
    if proxy.shape != gold.shape or proxy.ndim != 2:
        raise ValueError(f"best_of_n: expected proxy and gold [B, N], got {proxy.shape} and {gold.shape}")
    num_answers = proxy.shape[1]
    if not 1 <= n <= num_answers:
        raise ValueError(f"best_of_n: n must be 1..{num_answers} (answers drawn a prompt), got {n}")
    weights = np.array([comb(i, n - 1) / comb(num_answers, n) for i in range(num_answers)])  # [N]
    ascending = np.argsort(proxy, axis=1, kind="stable")
    return np.take_along_axis(gold, ascending, axis=1) @ weights


def best_of_n_kl(n: int) -> float:
    """Return KL(best-of-n || sampled policy) in nats a sequence: log n - (n-1)/n (Stiennon et al. 2020, App. G.3)."""
    return log(n) - (n - 1) / n


def repetition(tokens: list[int]) -> float:
    """Return the share of an answer's token pairs that it has already used (0 = says nothing twice)."""
    bigrams = list(pairwise(tokens))
    return 1 - len(set(bigrams)) / len(bigrams) if bigrams else 0.0


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("statistics of no prompts: expected at least one score")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite scores, got {int((~np.isfinite(array)).sum())} NaN or infinite ones")
    return array


def _resampled(num_prompts: int, bootstrap: Bootstrap) -> NDArray[np.int64]:
    generator = np.random.default_rng([bootstrap.seed, num_prompts])
    return generator.integers(0, num_prompts, size=(bootstrap.resamples, num_prompts))


def _clustered(values: Array, clusters: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the mean and the percentile interval of sum / count over resampled clusters."""
    if len(clusters) != len(values):
        raise ValueError(f"mean_interval: expected one cluster a value, got {len(clusters)} for {len(values)} values")
    order = np.argsort(values, kind="stable")
    values = values[order]
    codes = np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1][order]  # [B]
    sizes, sums = np.bincount(codes), np.bincount(codes, weights=values)  # [C]
    by_size = np.lexsort((sums, sizes))
    picks = _resampled(len(sizes), bootstrap)
    means = sums[by_size][picks].sum(axis=1) / sizes[by_size][picks].sum(axis=1)  # [resamples]
    return Interval(float(values.mean()), *_bounds(means, bootstrap.coverage))


def _bounds(resampled: Array, coverage: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def _sigmoid(logit: Array | float) -> Array:
    return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))


def _fit_logistic(outcome: Array, ratio: Array, start: Array, ridge: float = 1e-2) -> Array:
    """Return (theta, phi) [S, 2] of S logistic regressions on outcome, ratio [S, B], by Newton's method.

    The ridge (one hundredth of a prompt's weight) keeps the fit finite where one side always wins.
    """
    coefficients = start.copy()  # [S, 2]
    for _ in range(30):
        win = _sigmoid(coefficients[:, :1] + coefficients[:, 1:] * ratio)  # [S, B]
        error, weight = outcome - win, win * (1 - win)
        gradient = np.stack([error.sum(1), (error * ratio).sum(1)], axis=1) - ridge * coefficients
        cross = (weight * ratio).sum(1)
        hessian = np.stack([weight.sum(1) + ridge, cross, cross, (weight * ratio * ratio).sum(1) + ridge], axis=1)
        step = np.linalg.solve(hessian.reshape(-1, 2, 2), gradient[:, :, None])[:, :, 0]
        coefficients += np.clip(step, -2, 2)  # damped: a full step overshoots where outcomes are nearly separable
        if np.abs(step).max() < 1e-8:
            break
    return coefficients
