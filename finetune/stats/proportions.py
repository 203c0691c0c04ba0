"""One proportion: Wilson's interval for display, Clopper-Pearson's bound for guards, both with groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from finetune.example import Score

Side = Literal["both", "lower", "upper"]


@dataclass(frozen=True)
class Bound:
    """A proportion with one-sided bounds.

    Attributes:
        value: the share observed.
        lower: one-sided lower bound; 0 where only the upper one was asked for.
        upper: one-sided upper bound; 1 where only the lower one was asked for.
        n: items.
        n_effective: independent items that they are worth.
    """

    value: float
    lower: float
    upper: float
    n: int
    n_effective: float


def wilson(right: int, n: int) -> Score:
    """Wilson's interval of one proportion. An empty sample is 0 with the interval 0..1."""
    if n == 0:
        return Score(0.0, 0.0, 1.0)
    low, high = proportion_confint(right, n, alpha=0.05, method="wilson")
    return Score(right / n, max(0.0, float(low)), min(1.0, float(high)))


def clustered_wilson(right: Sequence[bool], groups: Sequence[str]) -> Score:
    """Wilson's interval of a proportion whose items come in groups, with n divided by the design effect.

    Four views of a part are not four parts. The design effect is the variance of the mean between groups (with
    G / (G - 1)) over the binomial one, never below 1 (Kish, Survey Sampling, 1965). Where it cannot be estimated (all
    items right, none, or one group) the items of a group are taken to be alike: sum(m^2) / n for groups of m.

    Args:
        right: per item, whether it counts.
        groups: per item, what it is not independent of.
    """
    hits, n = np.asarray(right, float), len(right)
    if n == 0:
        return wilson(0, 0)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    share, effective = float(hits.mean()), n / _design_effect(hits, index)
    low, high = proportion_confint(share * effective, effective, alpha=0.05, method="wilson")
    return Score(share, max(0.0, float(low)), min(1.0, float(high)))


def _design_effect(hits: NDArray[np.float64], index: NDArray[Any]) -> float:
    """Variance of the mean between groups over the binomial one, >= 1; items alike where it cannot be estimated."""
    n, sizes, share = len(hits), np.bincount(index), float(hits.mean())
    if len(sizes) < 2 or share in (0.0, 1.0):
        return _alike(sizes)
    if len(sizes) == n:
        return 1.0
    residual = np.bincount(index, hits - share)
    between = len(sizes) / (len(sizes) - 1) * float((residual**2).sum())
    return max(1.0, between / (n * share * (1 - share)))


def _alike(sizes: NDArray[Any]) -> float:
    """Design effect of groups whose items are all alike: sum(m^2) / n."""
    return float((sizes.astype(float) ** 2).sum() / sizes.sum())


def clopper_pearson(right: float, n: float, confidence: float = 0.975, side: str = "lower") -> float:
    """One-sided exact bound of a proportion (Clopper and Pearson, Biometrika 26:404, 1934).

    Args:
        right: hits; fractions occur where n was divided by a design effect.
        n: items; with none the bound is 0 or 1.
        confidence: of the one bound.
        side: lower or upper.
    """
    if side == "lower":
        return float(stats.beta.ppf(1 - confidence, right, n - right + 1)) if right > 0 else 0.0
    return float(stats.beta.ppf(confidence, right + 1, n - right)) if right < n else 1.0


def guard_bound(right: Sequence[bool], groups: Sequence[str], side: Side = "both", confidence: float = 0.975) -> Bound:
    """Clopper-Pearson bound for a guard; with groups, on n divided by the design effect (Korn and Graubard, 1998).

    No misses is no certainty: 36 positives without one are needed for a lower bound of 0.90. With groups the n is
    n / effect x (t_{n-1} / t_{k-1})^2, where k groups hold the rarer outcome (Korn and Graubard take all G): the others
    say nothing about how alike the items of a group are. It is never above n, nor below that of groups whose items are
    all alike, which is taken for k < 2.

    Args:
        right: per item, whether it counts.
        groups: per item, what it is not independent of.
        side: which bounds to give; the other is 0 or 1.
        confidence: of each bound.
    """
    hits, n = np.asarray(right, float), len(right)
    if n == 0:
        return Bound(0.0, 0.0, 1.0, 0, 0.0)
    share, effective = float(hits.mean()), _effective(hits, groups, confidence)
    lower = clopper_pearson(share * effective, effective, confidence, "lower") if side != "upper" else 0.0
    upper = clopper_pearson(share * effective, effective, confidence, "upper") if side != "lower" else 1.0
    return Bound(share, min(lower, share), max(upper, share), n, effective)


def _effective(hits: NDArray[np.float64], groups: Sequence[str], confidence: float) -> float:
    n = len(hits)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sizes, own = np.bincount(index), np.bincount(index, hits)
    count = len(sizes)
    if count == n:
        return float(n)
    rarer, least = min(int((own > 0).sum()), int((own < sizes).sum())), n / _alike(sizes)
    if rarer < 2:
        return least
    tails = stats.t.ppf(confidence, n - 1) / stats.t.ppf(confidence, rarer - 1)
    return float(min(n, max(least, n / _design_effect(hits, index) * tails**2)))


def guard_p(bound: Bound, floor: float) -> float:
    """One-sided p of "the share is not above the floor": the error at which the lower bound would meet it.

    What Holm's correction over the guards of several tags needs.
    """
    right = bound.value * bound.n_effective
    return float(stats.beta.cdf(floor, right, bound.n_effective - right + 1)) if right > 0 else 1.0
