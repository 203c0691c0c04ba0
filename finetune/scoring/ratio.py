"""A ratio of sums over items, with an interval that knows groups: what means, F1 and rates of boxes have in common."""

from collections.abc import Sequence

import numpy as np

from finetune.example import Score
from finetune.stats.proportions import wilson

REPLICATES = 2000
"""Resamples of groups; enough for the percentiles that a table shows with three digits."""


def ratio(
    numerators: Sequence[float], denominators: Sequence[float], groups: Sequence[str], seed: int = 0, top: float = 1.0
) -> Score:
    """Sum of numerators / sum of denominators, with a percentile interval over resampled groups; for display alone.

    Where every resample says the same (all right, all wrong, or one group), resampling knows nothing of doubt: Wilson's
    bounds with the number of groups as n stand in, scaled to `top`, so that nothing perfect is ever shown as certain.

    Args:
        numerators: per item.
        denominators: per item, 0 or more.
        groups: per item.
        seed: of the resamples.
        top: largest value that the ratio can have.

    Returns:
        0 in 0..`top` where the denominators sum to 0.
    """
    down = float(sum(denominators))
    if down == 0:
        return Score(0.0, 0.0, top)
    value = float(sum(numerators)) / down
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    parts = np.zeros((count, 2))
    np.add.at(parts, index, np.column_stack([numerators, denominators]))
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=REPLICATES)
    sums = draws @ parts
    values = sums[sums[:, 1] > 0]
    low, high = np.percentile(values[:, 0] / values[:, 1], [2.5, 97.5])
    if high - low < 1e-12:
        doubt = wilson(round(value / top * count), count)
        low, high = min(value, doubt.low * top), max(value, doubt.high * top)
    return Score(value, min(value, float(low)), max(value, float(high)))  # resamples may all lie to one side


def mean(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Score:
    """Mean over items of values in 0..1."""
    return ratio(values, [1.0] * len(values), groups, seed)
