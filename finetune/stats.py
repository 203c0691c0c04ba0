"""Paired statistics, each with a two-sided 95 % interval, over scipy and statsmodels.

Every item weighs the same unless weights are given; every choice errs against the claim "better". An answer that is
missing (None: unparsed, refused, truncated) counts as wrong.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from finetune.example import Score

Z2 = float(stats.chi2.ppf(0.95, 1))
"""Squared 97.5 % point of the normal distribution, 3.84."""
REPLICATES = 10_000
"""Resamples of the bootstrap and of the sign-flip test where the exact one is too large."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models, first minus second.

    Attributes:
        difference: of the metric, -1..1.
        low: lower bound of the 95 % interval.
        high: upper bound.
        b: items that only the first model has right.
        c: items that only the second model has right.
        p: two-sided test of "no difference": exact McNemar, or sign-flip of groups.
        n: items.
        groups: independent units; n where every item is its own.
        discordant_groups: groups with at least one item on which the models disagree.
        method: how interval and p were made, in words.
    """

    difference: float
    low: float
    high: float
    b: int
    c: int
    p: float
    n: int
    groups: int
    discordant_groups: int
    method: str


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
    sizes, share = np.bincount(index), float(hits.mean())
    if len(sizes) < 2 or share in (0.0, 1.0):
        effect = float((sizes**2).sum()) / n
    else:
        residual = np.bincount(index, hits - share)
        between = len(sizes) / (len(sizes) - 1) * float((residual**2).sum())
        effect = between / (n * share * (1 - share)) if len(sizes) < n else 1.0
    effective = n / max(1.0, effect)
    low, high = proportion_confint(share * effective, effective, alpha=0.05, method="wilson")
    return Score(share, max(0.0, float(low)), min(1.0, float(high)))


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar test of b against c discordant items; 1 where there are none."""
    return float(stats.binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


def tango(b: float, c: float, n: float) -> tuple[float, float]:
    """Tango's score interval of a paired difference (b - c) / n (Stat. Med. 17:891, 1998).

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


def class_weights(gold: Sequence[str]) -> list[float]:
    """Weights 1 / (K x n of the item's class), summing to 1: they turn accuracy into balanced accuracy."""
    counts = Counter(gold)
    return [1 / (len(counts) * counts[label]) for label in gold]


def paired_difference(
    first: Sequence[bool],
    second: Sequence[bool],
    groups: Sequence[str],
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Difference:
    """Difference of (weighted) accuracy between two models on the same items.

    Without groups (every item its own) and without weights: Tango's interval, exact McNemar. Otherwise: t on group sums
    with the CR2 variance and its Bell-McCaffrey degrees of freedom, which are G - 1 for groups of equal weight; p by
    flipping the signs of whole groups. (A percentile bootstrap over groups errs far more often than it says.)

    Args:
        first: per item, whether the first model is right.
        second: the same for the second model.
        groups: per item, what it is not independent of (part, patient).
        weights: per item, summing to 1 (`class_weights` for balanced accuracy); None = equal.
        seed: of the sign flips, used where 2^groups exceeds `REPLICATES`.
    """
    delta = np.asarray(first, float) - np.asarray(second, float)
    n, b, c = len(delta), int((delta > 0).sum()), int((delta < 0).sum())
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    discordant = len(np.unique(index[delta != 0]))
    if weights is None and len(names) == n:
        low, high = tango(b, c, n)
        p, method = mcnemar_exact(b, c), "Tango score interval, exact McNemar"
        return Difference((b - c) / n, low, high, b, c, p, n, n, discordant, method)
    weight = np.full(n, 1 / n) if weights is None else np.asarray(weights, float)
    share: Array = np.bincount(index, weight).astype(np.float64)
    sums: Array = np.bincount(index, weight * delta).astype(np.float64)
    low, high = _cluster_interval(share, sums, weight @ (delta > 0), weight @ (delta < 0))
    p, method = sign_flip(sums, seed), "t on group sums (CR2), sign-flip of groups"
    return Difference(float(sums.sum()), low, high, b, c, p, n, len(names), discordant, method)


def _cluster_interval(share: Array, sums: Array, gain: float, loss: float) -> tuple[float, float]:
    """CR2 interval of a weighted mean; `share` is the groups' weight (sum 1), `sums` their weighted differences.

    For an intercept-only model the CR2 adjustment (Bell and McCaffrey, Surv. Methodol. 28:169, 2002) is 1 / (1 - share)
    on a group's squared residual sum, and the Satterthwaite degrees of freedom have this closed form.
    Where all groups agree exactly, the variance is no estimate: each group then counts as one item of Tango's interval.
    """
    count = len(share)
    estimate = float(sums.sum())
    if count < 2:
        return -1.0, 1.0
    residual = sums - share * estimate
    if float(np.abs(residual).max()) < 1e-12:
        return tango(count * gain, count * loss, count)
    scale = 1 / (1 - share)
    variance = float((residual**2 * scale).sum())
    cross = (share**2 * scale).sum() ** 2 - (share**4 * scale**2).sum()
    freedom = float(1 / ((share**2).sum() + cross))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    return max(-1.0, estimate - half), min(1.0, estimate + half)


def sign_flip(sums: Array, seed: int = 0) -> float:
    """Two-sided p of "the group sums are symmetric about 0", by flipping their signs; exact up to 13 groups.

    Groups without a difference do not change it and are left out.
    """
    moving = sums[np.abs(sums) > 1e-15]
    if not len(moving):
        return 1.0
    observed = abs(moving.sum()) * (1 - 1e-9)
    if 2 ** len(moving) <= REPLICATES:
        codes = np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving)) & 1
        return float((np.abs((2.0 * codes - 1) @ moving) >= observed).mean())
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, (REPLICATES, len(moving))) - 1
    return float((1 + (np.abs(signs @ moving) >= observed).sum()) / (1 + REPLICATES))


def confusion(gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]) -> list[list[int]]:
    """Counts, one row a gold label, one column an answered label, the last column for "no answer"."""
    place = {label: i for i, label in enumerate(labels)}
    table = [[0] * (len(labels) + 1) for _ in labels]
    for truth, answer in zip(gold, answers, strict=True):
        table[place[truth]][len(labels) if answer is None else place[answer]] += 1
    return table


def sensitivity(gold: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], positive: str) -> Score:
    """Share of the positive items that were answered positive."""
    own = [
        (answer == positive, group)
        for truth, answer, group in zip(gold, answers, groups, strict=True)
        if truth == positive
    ]
    return clustered_wilson([right for right, _ in own], [group for _, group in own])


def specificity(gold: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], positive: str) -> Score:
    """Share of the other items that were answered with another label; no answer counts as wrong."""
    own = [
        (answer not in (None, positive), group)
        for truth, answer, group in zip(gold, answers, groups, strict=True)
        if truth != positive
    ]
    return clustered_wilson([right for right, _ in own], [group for _, group in own])


def balanced_accuracy(tables: NDArray[Any]) -> Array:
    """Mean recall over the classes that have items, of tables `[..., labels, labels + 1]`."""
    counts = tables.sum(-1)
    right = np.diagonal(tables[..., :-1], axis1=-2, axis2=-1)
    present = counts > 0
    found: Array = np.divide((right / np.maximum(counts, 1)).sum(-1), present.sum(-1))
    return found


def macro_f1(tables: NDArray[Any]) -> Array:
    """Mean F1 over the classes that have items, of tables `[..., labels, labels + 1]`."""
    counts, answered = tables.sum(-1), tables[..., :-1].sum(-2)
    right = np.diagonal(tables[..., :-1], axis1=-2, axis2=-1)
    f1 = np.where(counts > 0, 2 * right / np.maximum(counts + answered, 1), 0.0)
    found: Array = np.divide(f1.sum(-1), (counts > 0).sum(-1))
    return found


def bootstrap(
    metrics: Sequence[Callable[[NDArray[Any]], Array]],
    gold: Sequence[str],
    answers: Sequence[str | None],
    groups: Sequence[str],
    labels: Sequence[str],
    seed: int = 0,
) -> list[Score]:
    """Metrics of the confusion table with the percentile interval of 10,000 resamples of whole groups.

    For display, not for decisions. A class that has no item in a resample is left out of that resample's mean. A class
    without a single miss would stay perfect in every resample: for the lower bound its recall is Wilson's lower bound,
    with its groups as n.
    """
    place = {label: i for i, label in enumerate(labels)}
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    tables = np.zeros((len(names), len(labels), len(labels) + 1))
    columns = [len(labels) if answer is None else place[answer] for answer in answers]
    np.add.at(tables, (index, np.asarray([place[truth] for truth in gold]), np.asarray(columns)), 1)
    # Groups with the same table are drawn together: the same distribution, and thousands of single items cost nothing.
    kinds, counts = np.unique(tables.reshape(len(names), -1), axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(names), counts / len(names), size=REPLICATES)
    doubted = _doubted(kinds.reshape(-1, *tables.shape[1:]), tables)
    step = max(1, 4_000_000 // kinds.shape[1])

    def bound(metric: Callable[[NDArray[Any]], Array], source: Array, percent: float) -> float:
        parts = [
            metric((part @ source.reshape(len(kinds), -1)).reshape(-1, *tables.shape[1:]))
            for part in np.split(draws, range(step, REPLICATES, step))
        ]
        return float(np.percentile(np.concatenate(parts), percent))

    return [
        Score(float(metric(tables.sum(0))), bound(metric, doubted, 2.5), bound(metric, kinds, 97.5))
        for metric in metrics
    ]


def _doubted(kinds: Array, tables: Array) -> Array:
    """Tables in which a class without a miss has as many as Wilson's lower bound allows, as items without an answer."""
    doubted = kinds.copy()
    whole = tables.sum(0)
    for i, row in enumerate(whole):
        if row[i] and row[i] == row.sum():
            missed = 1 - wilson(*[int((tables[:, i].sum(-1) > 0).sum())] * 2).low
            doubted[:, i, -1] += missed * kinds[:, i, i]
            doubted[:, i, i] *= 1 - missed
    return doubted
