"""Over-optimisation: how gold reward rises and falls with d = sqrt(KL(policy || first policy)), and a monitor of it.

The forms are those of Gao, Schulman and Hilton 2022 ("Scaling laws for reward model overoptimization", eq. 1 and 2):
R(d) = d (alpha - beta log d) for reinforcement learning, R(d) = d (alpha - beta d) for best-of-n; R is the gain over
the first policy. Both are linear in (alpha, beta), so least squares fits them exactly.
"""

from collections.abc import Sequence
from math import exp, inf
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Form = Literal["rl", "best_of_n"]
WINDOW = 5  # points of a curve that are looked at together
FARTHEST = 50.0  # log of a distance beyond which a fitted peak is none
STANDARD_ERRORS = 3.0  # by which gold must have fallen below its best


class Fit(NamedTuple):
    alpha: float
    beta: float
    r_squared: float  # share of the variance of the gain that the form explains

    def gain(self, distance: ArrayLike, form: Form) -> np.ndarray:
        """Return the fitted gain at distances d > 0."""
        return _features(np.asarray(distance, dtype=np.float64), form) @ np.array([self.alpha, self.beta])

    def peak(self, form: Form) -> float:
        """Return the distance of the highest fitted gain: infinity where it never falls, 0 where it never rises."""
        if self.beta <= 0:
            return inf
        if form == "best_of_n":
            return max(0.0, self.alpha / (2 * self.beta))
        exponent = self.alpha / self.beta - 1
        return exp(exponent) if exponent < FARTHEST else inf


def fit(distance: ArrayLike, gain: ArrayLike, form: Form) -> Fit:
    """Fit a form to distances d [N] and gains [N]; points with d = 0 carry no information and are left out.

    Raises ValueError for fewer than three points with d > 0.
    """
    distance, gain = np.asarray(distance, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    far = distance > 0
    distance, gain = distance[far], gain[far]
    if len(distance) < 3:
        raise ValueError(f"a fit of two numbers needs three points at a distance, got {len(distance)}")
    features = _features(distance, form)
    alpha, beta = np.linalg.lstsq(features, gain, rcond=None)[0]
    residual = gain - features @ np.array([alpha, beta])
    spread = ((gain - gain.mean()) ** 2).sum()
    return Fit(float(alpha), float(beta), float(1 - (residual**2).sum() / spread) if spread > 0 else 0.0)


def _features(distance: np.ndarray, form: Form) -> np.ndarray:
    """Return [N, 2]: what alpha and beta are multiplied by."""
    falling = np.log(np.maximum(distance, 1e-12)) if form == "rl" else distance
    return np.stack([distance, -distance * falling], axis=1)


def peak_is_behind(
    iterations: Sequence[float], kl: Sequence[float], gold: Sequence[float], gold_error: Sequence[float]
) -> str | None:
    """Return why the best policy lies behind the last iteration's; None while it does not, or cannot be told.

    kl [N] in nats a sequence, gold [N] with its standard error [N], of the iterations [N]. Two things must hold: the
    form fitted to the whole curve has its peak before the last policies, and the last WINDOW iterations' gold is below
    that of the best WINDOW by STANDARD_ERRORS of the difference.
    """
    if len(kl) < 2 * WINDOW:
        return None
    means = np.convolve(gold, np.full(WINDOW, 1 / WINDOW), mode="valid")
    errors = np.sqrt(np.convolve(np.square(gold_error), np.full(WINDOW, 1 / WINDOW**2), mode="valid"))
    best = int(means.argmax())
    fall = means[best] - means[-1]
    if fall <= STANDARD_ERRORS * float(np.hypot(errors[best], errors[-1])):
        return None
    distance = np.sqrt(np.maximum(kl, 0.0))
    peak = fit(distance, np.asarray(gold) - gold[0], "rl").peak("rl")
    now = float(distance[-WINDOW:].mean())
    if peak >= now:
        return None
    when = iterations[best + WINDOW // 2]
    return (
        f"over-optimisation: gold was {means[best]:.3f} at iteration {when}, now {means[-1]:.3f}; "
        f"its fitted peak lies at a KL of {peak**2:.2f} nats, the policy is at {now**2:.2f}. Raise ppo.kl_coef, lower "
        "ppo.iterations, or set ppo.monitor to 'stop'"
    )
