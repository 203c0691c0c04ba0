"""How much data a claim needs, ahead of all cost. Discordance = share of items that exactly one model has right."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import optimize, special, stats

from finetune.stats.proportions import clopper_pearson

_MOST = 10_000_000
"""Items beyond which a guard counts as out of reach: its floor is the observed share, or nearly."""


@cache
def mcnemar_power(n: int, discordance: float, gap: float) -> float:
    """Chance that the exact two-sided McNemar test at 5 % finds a true difference, summed over the discordant count.

    Args:
        n: items, each its own group.
        discordance: share of items on which exactly one model is right.
        gap: true difference of accuracy, at most `discordance`.
    """
    low, high = stats.binom.ppf((1e-10, 1 - 1e-10), n, discordance)
    count = np.arange(int(low), int(high) + 1)
    # The largest number of wins that rejects: P(X <= critical) <= 0.025 under fair coins.
    critical = stats.binom.ppf(0.025, count, 0.5)
    critical = np.where(stats.binom.cdf(critical, count, 0.5) <= 0.025, critical, critical - 1)
    chance = (1 + gap / discordance) / 2
    found = stats.binom.cdf(critical, count, 1 - chance) + stats.binom.cdf(critical, count, chance)
    return float(stats.binom.pmf(count, n, discordance) @ found)


def mcnemar_detectable(n: int, discordance: float, power: float = 0.8) -> float | None:
    """Smallest true difference of accuracy that the exact McNemar test finds with this power; None = not even d itself.

    At 10 % disagreement, in points rounded up: 6.5 for n = 200, 4.7 for 394, 2.9 for 1000. (The normal approximation is
    too hopeful: 6.3, 4.5, 2.8.)
    """
    if n < 1 or mcnemar_power(n, discordance, discordance) < power:
        return None
    return float(optimize.brentq(lambda gap: mcnemar_power(n, discordance, gap) - power, 0.0, discordance, xtol=1e-6))


def noninferiority_n(margin: float, discordance: float, gap: float = 0.0, power: float = 0.8) -> int | None:
    """Independent items for a non-inferiority claim with this power: (z + z)^2 (d - gap^2) / (margin + gap)^2.

    Args:
        margin: largest loss that is acceptable.
        discordance: share of items on which exactly one model is right.
        gap: true difference, candidate minus baseline; at -margin or below nothing suffices (None).
        power: chance of passing.
    """
    if margin + gap <= 0:
        return None
    z = float(stats.norm.ppf(0.975) + stats.norm.ppf(power))
    return math.ceil(z**2 * (discordance - gap**2) / (margin + gap) ** 2)


def noninferiority_power(n: float, margin: float, discordance: float, gap: float = 0.0) -> float:
    """Chance that a non-inferiority claim passes with n independent items, by the same approximation."""
    spread = math.sqrt(max(1e-12, discordance - gap**2) / n)
    return float(stats.norm.cdf((margin + gap) / spread - stats.norm.ppf(0.975)))


def design_effect(m: float, icc: float) -> float:
    """By how much m items a group are worth less than independent ones: 1 + (m - 1) x intra-class correlation.

    For groups of unequal sizes m is sum(m^2) / sum(m) (Kish, Survey Sampling, 1965).
    """
    return 1 + (m - 1) * icc


def discordant_groups(sizes: Sequence[int], discordance: float, icc: float) -> float:
    """Groups that are expected to hold at least one discordant item (beta-binomial disagreement within groups).

    Args:
        sizes: items of each group.
        discordance: share of items on which exactly one model is right.
        icc: intra-class correlation of the disagreement, 0..1.
    """
    m = np.asarray(sizes, float)
    if icc <= 0:
        none = (1 - discordance) ** m
    elif icc >= 1:
        none = np.full(len(m), 1 - discordance)
    else:
        scale = (1 - icc) / icc
        rest = scale * (1 - discordance)
        none = np.exp(special.betaln(scale * discordance, rest + m) - special.betaln(scale * discordance, rest))
    return float((1 - none).sum())


def guard_n(floor: float, value: float = 1.0) -> int | None:
    """Independent items that pass a guard at an observed share: 36 for a floor of 0.90 without a single miss.

    None where the share does not lie above the floor (or by so little that ten million items would not show it).
    """
    if value <= floor or clopper_pearson(value * _MOST, _MOST) < floor:
        return None
    low, high = 0, _MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clopper_pearson(value * middle, middle) >= floor else (middle, high)
    return high


def groups_needed(wanted: int, share: float, power: float = 0.8) -> int:
    """Groups of which at least `wanted` are hit with a chance of `power`, each of them with a chance of `share`."""
    count = math.ceil(wanted / share)
    while stats.binom.sf(wanted - 1, count, share) < power:
        count += 1
    return count
