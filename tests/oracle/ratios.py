"""Sums over sums of items, such as means and F1, with the percentile interval of resampled groups."""

from collections.abc import Sequence

import numpy as np

from oracle import formulas

REPLICATES = 2_000
SEED = 0
NARROW = 1e-12
"""Interval below which every resample said the same."""


def ratio(parts: Sequence[tuple[float, float]], groups: Sequence[str], top: float = 1.0) -> dict[str, float]:
    """Sum of the first over the sum of the second, 0 in 0..`top` where the second is 0.

    Where every resample says the same, Wilson's bounds stand in: the groups as n, the ratio as a share of `top`.

    Args:
        parts: per item, numerator and denominator.
        groups: per item.
        top: largest value that the ratio can have.
    """
    below = sum(part[1] for part in parts)
    if not below:
        return {"value": 0.0, "low": 0.0, "high": top}
    value = sum(part[0] for part in parts) / below
    own, count = formulas.index(groups)
    sums = [np.bincount(own, [part[side] for part in parts], minlength=count) for side in (0, 1)]
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=REPLICATES)
    above, under = (drawn @ column for column in sums)
    resampled = above[under > 0] / under[under > 0]
    low, high = (float(bound) for bound in np.percentile(resampled, [2.5, 97.5]))
    if high - low < NARROW:
        least, most = formulas.wilson(round(value / top * count), count)
        low, high = min(value, least * top), max(value, most * top)
    return {"value": float(value), "low": min(low, value), "high": max(high, value)}


def mean(values: Sequence[float], groups: Sequence[str], top: float = 1.0) -> dict[str, float]:
    """Mean of values in 0..`top`."""
    return ratio([(value, 1.0) for value in values], groups, top)
