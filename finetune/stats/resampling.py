"""Metrics of a whole table of answers with intervals by resampling groups; sign flips; area under the ROC curve."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from finetune.example import Score
from finetune.stats.proportions import clustered_wilson, wilson

REPLICATES = 10_000
"""Resamples of the bootstrap and of the sign-flip test where the exact one is too large."""
_AT_ONCE = 4_000_000
"""Numbers held at a time while resampling: bounds memory."""

Array = NDArray[np.float64]


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
    generator, step, reached = np.random.default_rng(seed), max(1, _AT_ONCE // len(moving)), 0
    for first in range(0, REPLICATES, step):
        signs = 2.0 * generator.integers(0, 2, (min(step, REPLICATES - first), len(moving))) - 1
        reached += int((np.abs(signs @ moving) >= observed).sum())
    return (1 + reached) / (1 + REPLICATES)


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

    For display, not for decisions. A class that has no item in a resample is left out of that resample's mean, which
    shifts the resamples where many classes are rare: their percentiles are drawn out to hold the estimate, so that it
    never lies outside its own interval. A class without a single miss would stay perfect in every resample: for the
    lower bound its recall is Wilson's lower bound, with its groups as n.
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
    step = max(1, _AT_ONCE // kinds.shape[1])

    def bound(metric: Callable[[NDArray[Any]], Array], source: Array, percent: float) -> float:
        parts = [
            metric((part @ source.reshape(len(kinds), -1)).reshape(-1, *tables.shape[1:]))
            for part in np.split(draws, range(step, REPLICATES, step))
        ]
        return float(np.percentile(np.concatenate(parts), percent))

    found = []
    for metric in metrics:
        value = float(metric(tables.sum(0)))
        low, high = bound(metric, doubted, 2.5), bound(metric, kinds, 97.5)
        found.append(Score(value, min(low, value), max(high, value)))
    return found


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


def group_draws(groups: NDArray[Any], seed: int = 0) -> Iterator[Array]:
    """How often each item comes when whole groups are drawn with replacement: parts `[some, items]` of `REPLICATES`."""
    names, index = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // len(index))
    for first in range(0, REPLICATES, step):
        size = min(step, REPLICATES - first)
        counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
        yield counts[:, index].astype(np.float64)


def auroc(scores: Sequence[float], positive: Sequence[bool], groups: Sequence[str] | None = None) -> Score:
    """Area under the ROC curve; interval by DeLong (Biometrics 44:837, 1988), with groups by Obuchowski (53:567, 1997).

    Where nothing varies (every positive above every negative), Wilson's interval with the rarer side's groups as n.
    Without positives or negatives: 0.5 in 0..1.

    Args:
        scores: per item, higher = more likely positive.
        positive: per item, whether it is.
        groups: per item, what it is not independent of; None = each its own.
    """
    score, truth = np.asarray(scores, float), np.asarray(positive, bool)
    ups, downs = int(truth.sum()), int((~truth).sum())
    if not ups or not downs:
        return Score(0.5, 0.0, 1.0)
    ranks = stats.rankdata(score)
    placement = np.empty(len(score))
    placement[truth] = (ranks[truth] - stats.rankdata(score[truth])) / downs
    placement[~truth] = 1 - (ranks[~truth] - stats.rankdata(score[~truth])) / ups
    area = float(placement[truth].mean())
    _, index = np.unique(np.arange(len(score)) if groups is None else np.asarray(groups), return_inverse=True)
    parts = [
        np.bincount(index, np.where(side, placement - area, 0.0) / side.sum(), minlength=index.max() + 1)
        for side in (truth, ~truth)
    ]
    counts = [len(np.unique(index[side])) for side in (truth, ~truth)]
    if min(counts) < 2:
        return Score(area, 0.0, 1.0)
    own = [count / (count - 1) * float((part**2).sum()) for count, part in zip(counts, parts, strict=True)]
    whole = len(parts[0])
    variance = sum(own) + 2 * whole / (whole - 1) * float((parts[0] * parts[1]).sum())
    if variance < 1e-15:
        low, high = proportion_confint(area * min(counts), min(counts), alpha=0.05, method="wilson")
        return Score(area, min(area, float(low)), max(area, float(high)))  # Wilson at 0 and 1 misses by a rounding
    half = float(stats.norm.ppf(0.975)) * math.sqrt(variance)
    return Score(area, max(0.0, area - half), min(1.0, area + half))
