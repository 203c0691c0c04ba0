"""Numbers behind paired comparisons: Tango's score statistic, and the CR2 variance of group sums."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Z2 = float(stats.chi2.ppf(0.95, 1))
"""Squared 97.5 % point of the normal distribution, 3.84."""

Array = NDArray[np.float64]


def score_z(b: Any, c: Any, n: Any, delta: float) -> Any:
    """Tango's score statistic of "the paired difference is delta" (Stat. Med. 17:891, 1998); arrays or numbers.

    `delta` lies inside (-1, 1) and is not 0 where b = c = 0.
    """
    linear = (2 * n - b + c) * delta - b - c
    root = np.sqrt(np.maximum(0.0, linear**2 + 8 * n * c * delta * (1 - delta)))
    variance = n * (2 * (root - linear) / (4 * n) + delta * (1 - delta))
    return (b - c - n * delta) / np.sqrt(np.maximum(variance, 1e-300))


def score_p(b: float, c: float, n: float, margin: float) -> float:
    """One-sided p of "worse by the margin or more" from Tango's statistic; 0.5 where nothing speaks for or against."""
    if n == 0 or (b + c < 1e-12 and margin == 0):
        return 0.5
    return float(stats.norm.sf(score_z(b, c, n, -margin)))


def tango(b: float, c: float, n: float) -> tuple[float, float]:
    """Tango's score interval of a paired difference (b - c) / n: where his statistic is within +-1.96.

    With b = c = 0 it is +-3.84 / (n + 3.84), never of zero width; there and at b = n the root has a closed form.
    """
    if b + c < 1e-12:
        return -Z2 / (n + Z2), Z2 / (n + Z2)
    if n - max(b, c) < 1e-12:
        edge = (n - Z2) / (n + Z2)
        return (edge, 1.0) if b > c else (-1.0, -edge)
    estimate = (b - c) / n

    def excess(delta: float) -> float:
        linear = (2 * n - b + c) * delta - b - c
        root = math.sqrt(max(0.0, linear**2 + 8 * n * c * delta * (1 - delta)))
        variance = n * (2 * (root - linear) / (4 * n) + delta * (1 - delta))
        return (b - c - n * delta) ** 2 - Z2 * variance

    return float(optimize.brentq(excess, -1.0, estimate)), float(optimize.brentq(excess, estimate, 1.0))


@dataclass(frozen=True)
class Sample:
    """The items that count (weight above 0), gathered by group.

    Attributes:
        share: the groups' weights, summing to 1.
        sums: the groups' weighted differences, first minus second.
        gain: weight of the items that only the first has right.
        loss: weight of those that only the second has right.
        b: number of the former.
        c: number of the latter.
        n: items.
        discordant: groups with at least one item on which they disagree.
        weighty: effective number of groups with a disagreement, (sum w)^2 / sum w^2 over the weight w on which they
            disagree: a few items of a rare class can outweigh all others.
        even: all items weigh the same.
    """

    share: Array
    sums: Array
    gain: float
    loss: float
    b: int
    c: int
    n: int
    discordant: int
    weighty: float
    even: bool

    @property
    def groups(self) -> int:
        """Number of independent units."""
        return len(self.share)

    @property
    def alone(self) -> bool:
        """Every item is its own group, and all weigh the same: Tango's interval holds."""
        return self.even and self.groups == self.n


def sample_of(
    first: Sequence[bool], second: Sequence[bool], groups: Sequence[str], weights: Sequence[float] | None
) -> Sample:
    """Gathers two sides of the same items.

    Raises:
        ValueError: the sides are not equally long, or the weights do not sum to 1.
    """
    if not len(first) == len(second) == len(groups):
        raise ValueError(f"{len(first)} and {len(second)} answers on items of {len(groups)} groups: not the same items")
    delta, names = np.asarray(first, float) - np.asarray(second, float), np.asarray(groups)
    weight = np.full(len(delta), 1 / max(1, len(delta))) if weights is None else np.asarray(weights, float)
    counts = weight > 0
    if counts.any() and abs(weight.sum() - 1) > 1e-6:
        raise ValueError(f"the weights sum to {weight.sum():.6g}, expected 1")
    delta, names, weight = delta[counts], names[counts], weight[counts]
    _, index = np.unique(names, return_inverse=True)
    share: Array = np.bincount(index, weight).astype(np.float64)
    disagreeing: Array = np.bincount(index, weight * (delta != 0)).astype(np.float64)
    return Sample(
        share=share,
        sums=np.bincount(index, weight * delta).astype(np.float64),
        gain=float(weight @ (delta > 0)),
        loss=float(weight @ (delta < 0)),
        b=int((delta > 0).sum()),
        c=int((delta < 0).sum()),
        n=len(delta),
        discordant=len(np.unique(index[delta != 0])),
        weighty=float(effective(disagreeing)),
        even=not len(weight) or bool(np.ptp(weight) < 1e-12),
    )


def cluster_moments(share: Array, sums: Array) -> tuple[Array, Array, Array]:
    """Weighted mean, its CR2 variance and degrees of freedom from groups, over the last axis: arrays `[..., G]`.

    For an intercept-only model the CR2 adjustment (Bell and McCaffrey, Surv. Methodol. 28:169, 2002) is 1 / (1 - share)
    on a group's squared residual sum, and the Satterthwaite degrees of freedom have this closed form.

    Args:
        share: the groups' weight, summing to 1.
        sums: their weighted differences.
    """
    estimate = sums.sum(-1)
    scale = 1 / (1 - share)
    variance = ((sums - share * estimate[..., None]) ** 2 * scale).sum(-1)
    cross = (share**2 * scale).sum(-1) ** 2 - (share**4 * scale**2).sum(-1)
    freedom: Array = 1 / ((share**2).sum(-1) + cross)
    return estimate, variance, freedom


def effective(weight: Array) -> Array:
    """Equal groups that groups of these weights are worth, (sum w)^2 / sum w^2, over the last axis; 0 of none."""
    squares = (weight**2).sum(-1)
    found: Array = np.divide(weight.sum(-1) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
    return found


def claim(share: Array, sums: Array, weighty: Array, margin: float) -> tuple[Array, Array, Array]:
    """Bounds of a claim and the p of "worse by the margin or more", over the last axis: arrays `[..., G]`.

    The t interval on group sums errs on the dangerous side where losses are rare and skewed: a lucky sample has a small
    variance too. So the degrees of freedom are at most the effective number of groups with a disagreement - 1, and a
    bound is moved out, never in, by Hall's transformation for skewness (J. R. Stat. Soc. B 54:221, 1992).

    Args:
        share: the groups' weights, summing to 1.
        sums: their weighted differences, not all in proportion to `share`.
        weighty: effective number of groups with a disagreement, `[...]`.
        margin: largest acceptable loss.

    Returns:
        Lower bound, upper bound (2.5 % each) and one-sided p, `[...]`.
    """
    estimate, variance, freedom = cluster_moments(share, sums)
    error = np.sqrt(np.maximum(variance, 1e-30))
    residual = (sums - share * estimate[..., None]) / np.sqrt(1 - share)
    skew = (residual**3).sum(-1) / error**3
    freedom = np.maximum(1.0, np.minimum(freedom, weighty - 1))
    critical = stats.t.ppf(0.975, freedom)
    lower = estimate - error * np.maximum(critical, _untransformed(critical, skew))
    upper = estimate + error * np.maximum(critical, _untransformed(critical, -skew))
    statistic = (estimate + margin) / error
    p: Array = stats.t.sf(np.minimum(statistic, _transformed(statistic, skew)), freedom)
    return np.maximum(-1.0, lower), np.minimum(1.0, upper), p


def _transformed(t: Array, skew: Array) -> Array:
    """Hall's monotone transformation of a t statistic, for the skewness k of its estimate."""
    return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6


def _untransformed(z: Array, skew: Array) -> Array:
    """The t that `_transformed` turns into z."""
    small = np.abs(skew) < 1e-9
    k = np.where(small, 1.0, skew)
    return np.where(small, z, 3 / k * (np.cbrt(1 + k * (z - k / 6)) - 1))


def _spread(sample: Sample) -> tuple[float, float] | None:
    """Standard error and degrees of freedom of the groups, or None where all agree exactly and nothing is estimated."""
    if sample.groups < 2 or float(np.ptp(sample.sums / sample.share)) < 1e-12:
        return None
    _, variance, freedom = cluster_moments(sample.share, sample.sums)
    return math.sqrt(float(variance)), float(freedom)


def interval(sample: Sample) -> tuple[float, float]:
    """CR2 interval. Where all groups agree exactly each counts as one item of Tango's interval."""
    count, estimate, spread = sample.groups, float(sample.sums.sum()), _spread(sample)
    if count < 2:
        return -1.0, 1.0
    if spread is None:
        return tango(count * sample.gain, count * sample.loss, count)
    half = float(stats.t.ppf(0.975, spread[1])) * spread[0]
    return max(-1.0, estimate - half), min(1.0, estimate + half)


def claim_of(sample: Sample, margin: float) -> tuple[float, float, float]:
    """Lower bound, upper bound and p of `claim`; where all groups agree exactly, those of `interval` and Tango."""
    if _spread(sample) is not None:
        lower, upper, p = claim(sample.share, sample.sums, np.asarray(sample.weighty), margin)
        return float(lower), float(upper), float(p)
    count = sample.groups
    p_alike = 0.5 if count < 2 else score_p(count * sample.gain, count * sample.loss, count, margin)
    return (*interval(sample), p_alike)
