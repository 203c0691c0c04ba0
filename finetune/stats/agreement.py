"""Ordered labels and many tags: weighted kappa, and Holm's correction where several claims are made at once."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from finetune.example import Score
from finetune.stats.proportions import wilson

Array = NDArray[np.float64]


def weighted_kappa(
    gold: Sequence[str],
    answers: Sequence[str | None],
    order: Sequence[str],
    groups: Sequence[str] | None = None,
    weights: Literal["quadratic", "linear"] = "quadratic",
) -> Score:
    """Cohen's weighted kappa (Psychol. Bull. 70:213, 1968) with a jackknife interval over groups (t, G - 1).

    A missing answer counts as the label farthest from the gold one, so that saying nothing never pays. Where every
    answer is right, the lower bound moves Wilson's doubt (with the groups as n) to the farthest labels. Where gold and
    answers are one label throughout, there is no agreement beyond chance to speak of: 0 in -1..1.

    Args:
        gold: per item.
        answers: per item.
        order: the labels from one end to the other.
        groups: per item, what it is not independent of; None = each its own.
        weights: disagreement grows with the square of the distance, or with the distance.
    """
    place, top = {label: i for i, label in enumerate(order)}, len(order) - 1
    rows = np.asarray([place[label] for label in gold], int)
    farthest = np.where(rows * 2 < top, top, 0)
    columns = np.asarray([place[a] if a is not None else far for a, far in zip(answers, farthest, strict=True)], int)
    _, index = np.unique(np.arange(len(rows)) if groups is None else np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    parts = np.zeros((count, top + 1, top + 1))
    np.add.at(parts, (index, rows, columns), 1)
    cost = np.abs(np.subtract.outer(np.arange(top + 1), np.arange(top + 1))) ** (2.0 if weights == "quadratic" else 1.0)
    whole = parts.sum(0)
    value = float(_kappa(whole, cost))
    if math.isnan(value) or count < 2:
        return Score(0.0 if math.isnan(value) else value, -1.0, 1.0)
    if value == 1.0:
        return Score(1.0, float(_kappa(_doubted(whole, wilson(count, count).low), cost)), 1.0)
    without = _kappa(whole - parts, cost)
    without = np.where(np.isnan(without), value, without)
    variance = (count - 1) / count * float(((without - without.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.975, count - 1)) * math.sqrt(variance)
    return Score(value, max(-1.0, value - half), min(1.0, value + half))


def _kappa(tables: NDArray[Any], cost: Array) -> Array:
    """1 - observed / expected disagreement of tables `[..., K, K]`; not a number where none is expected."""
    n = tables.sum((-1, -2))
    expected = (tables.sum(-1)[..., :, None] * tables.sum(-2)[..., None, :] * cost).sum((-1, -2))
    observed = (tables * cost).sum((-1, -2)) * n
    ratio: Array = np.divide(observed, expected, out=np.full(np.shape(observed), np.nan), where=expected > 0)
    return 1 - ratio


def _doubted(table: Array, share: float) -> Array:
    """A table without an error in which only `share` of every label is certain and the rest as wrong as can be."""
    doubted, top = table * share, len(table) - 1
    for i, own in enumerate(np.diagonal(table)):
        doubted[i, top if 2 * i < top else 0] += own * (1 - share)
    return doubted


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's adjusted p (Scand. J. Stat. 6:65, 1979), in the order given: a claim holds whose p stays below the level.

    For several replacement claims, or the guards of several tags (`guard_p`); never for criteria that must all hold.
    """
    if not len(pvalues):
        return []
    return [float(p) for p in multipletests(list(pvalues), method="holm")[1]]
