"""Answering only where the model is sure: risk against coverage, a threshold from validation, a bound on the test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune.example import Score
from finetune.stats.proportions import Bound, clopper_pearson, guard_bound
from finetune.stats.resampling import group_draws

Array = NDArray[np.float64]


def risk_coverage(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(coverage, risk) at every threshold that the confidences allow, surest first; equal confidences stay together.

    Args:
        confidence: per item, higher = surer. An item without an answer has the lowest, such as -1.
        right: per item.
    """
    if not len(right):
        return []
    sizes, wrong, _ = _blocks(confidence, right)
    answered = np.cumsum(sizes)
    risk = np.cumsum(wrong) / answered
    return list(zip((answered / answered[-1]).tolist(), risk.tolist(), strict=True))


def aurc(
    confidence: Sequence[float], right: Sequence[bool], groups: Sequence[str] | None = None, seed: int = 0
) -> Score:
    """Area under the risk-coverage curve: the mean risk over coverages, with a bootstrap interval over groups.

    For display. Where all confidences are equal it is the plain error rate; lower is better (Geifman, El-Yaniv 2017).
    """
    if not len(right):
        return Score(0.0, 0.0, 1.0)
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    wrong = 1.0 - np.asarray(right, float)[order]
    _, starts = np.unique(-np.asarray(confidence, float)[order], return_index=True)
    names = np.arange(len(order)) if groups is None else np.asarray(groups)[order]

    def area(counts: Array) -> Array:
        """Of replicates `[R, items]` that say how often each item was drawn."""
        sizes = np.add.reduceat(counts, starts, axis=-1)
        answered = np.cumsum(sizes, axis=-1)
        risk = np.cumsum(np.add.reduceat(counts * wrong, starts, axis=-1), axis=-1) / np.maximum(answered, 1e-12)
        found: Array = (sizes * risk).sum(-1) / answered[..., -1]
        return found

    drawn = np.concatenate([area(part) for part in group_draws(names, seed)])
    low, high = np.percentile(drawn, (2.5, 97.5))
    value = float(area(np.ones(len(wrong))))
    return Score(value, min(value, float(low)), max(value, float(high)))  # resamples may all lie to one side


def choose_threshold(
    confidence: Sequence[float], right: Sequence[bool], target: float, belief: float = 0.5
) -> float | None:
    """Confidence from which on the model may answer alone: the one that answers most items at an acceptable risk.

    For validation items; the threshold is then frozen and judged on the test by `selective_bound`. A few lucky items
    are no ground, so the risk is taken at its Clopper-Pearson upper bound of `belief` (0.5 = median-unbiased: a target
    of 2 % needs 35 items without an error). None where no threshold reaches the target.

    Args:
        confidence: per item, higher = surer.
        right: per item.
        target: highest acceptable share of errors among what is answered.
        belief: confidence of the bound, 0..1.
    """
    if not len(right):
        return None
    sizes, wrong, values = _blocks(confidence, right)
    answered, errors = np.cumsum(sizes), np.cumsum(wrong)
    held = [
        float(value)
        for value, n, bad in zip(values, answered, errors, strict=True)
        if clopper_pearson(float(bad), float(n), belief, "upper") <= target
    ]
    return min(held) if held else None


def selective_bound(right_of_answered: Sequence[bool], groups: Sequence[str]) -> Bound:
    """Share of errors among the items answered, with Clopper-Pearson bounds (97.5 %); the upper one decides.

    The coverage has its own bound: `guard_bound` of "was it answered" over all items.
    """
    return guard_bound([not right for right in right_of_answered], groups)


def _blocks(confidence: Sequence[float], right: Sequence[bool]) -> tuple[Array, Array, Array]:
    """Per distinct confidence, surest first: items, errors, and the confidence."""
    values, index = np.unique(-np.asarray(confidence, float), return_inverse=True)
    wrong = np.bincount(index, 1.0 - np.asarray(right, float)).astype(float)
    return np.bincount(index).astype(float), wrong, -values
