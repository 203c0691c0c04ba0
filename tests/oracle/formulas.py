"""The statistics from their definitions, over numpy and scipy's distributions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Interval = tuple[float, float]

Z = float(special.ndtri(0.975))
REPLICATES = 10_000
ENOUGH = 20


def wilson(hits: float, n: float) -> Interval:
    """Wilson's score interval, from its closed form."""
    if n == 0:
        return 0.0, 1.0
    share, scale = hits / n, 1 + Z * Z / n
    centre = (share + Z * Z / (2 * n)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def share(hits: float, n: float) -> dict[str, float]:
    """A share of independent items with Wilson's interval."""
    low, high = wilson(float(hits), n)
    return {"value": float(hits) / n if n else 0.0, "low": low, "high": high}


def index(groups: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Number of each item's group, and how many groups there are."""
    place = {name: i for i, name in enumerate(sorted(set(groups)))}
    return np.array([place[name] for name in groups], dtype=int), len(place)


def design_effect(hits: Array, own: NDArray[Any], count: int) -> float:
    """Variance of a mean of groups over that of as many independent items; at least 1."""
    n, mean = len(hits), float(hits.mean())
    sizes = np.bincount(own)
    if count < 2 or mean in (0.0, 1.0):
        return float(np.square(sizes.astype(float)).sum() / n)
    if count == n:
        return 1.0
    sums = np.array([hits[own == g].sum() - mean * sizes[g] for g in range(count)])
    return max(1.0, count / (count - 1) * float(sums @ sums) / (n * mean * (1 - mean)))


def proportion(hits: Sequence[bool], groups: Sequence[str]) -> dict[str, float]:
    """A share with Wilson's interval on n divided by the design effect."""
    if not len(hits):
        return {"value": 0.0, "low": 0.0, "high": 1.0}
    values = np.asarray(hits, float)
    own, count = index(groups)
    n = len(values) / design_effect(values, own, count)
    low, high = wilson(float(values.mean()) * n, n)
    return {"value": float(values.mean()), "low": low, "high": high}


def guard(hits: Sequence[bool], groups: Sequence[str], error: float = 0.025) -> tuple[float, float, float, float]:
    """Share, Clopper-Pearson bounds from the beta distribution, and the effective n (Korn and Graubard, 1998)."""
    values = np.asarray(hits, float)
    own, count = index(groups)
    n, share = len(values), float(values.mean())
    effective = float(n)
    if count < n:
        sizes = np.bincount(own).astype(float)
        alike = float(sizes @ sizes / n)
        hit = np.bincount(own, values)
        rarer = min(int((hit > 0).sum()), int((hit < sizes).sum()))
        effective = n / alike
        if rarer >= 2:
            tails = special.stdtrit(n - 1, 1 - error) / special.stdtrit(rarer - 1, 1 - error)
            effective = min(float(n), max(effective, n / design_effect(values, own, count) * tails**2))
    right, wrong = share * effective, (1 - share) * effective
    low = float(special.betaincinv(right, wrong + 1, error)) if right > 1e-12 else 0.0
    high = float(special.betaincinv(right + 1, wrong, 1 - error)) if wrong > 1e-12 else 1.0
    return share, min(low, share), max(high, share), effective


def tango_statistic(b: float, c: float, n: float, delta: float) -> float:
    """Score statistic of a paired difference: q is the larger root of Tango's quadratic for the second discordance."""
    two_a, linear = 2 * n, -b - c + (2 * n - b + c) * delta
    q = (math.sqrt(max(0.0, linear**2 - 4 * two_a * (-c * delta * (1 - delta)))) - linear) / (2 * two_a)
    variance = n * (2 * q + delta * (1 - delta))
    return (b - c - n * delta) / math.sqrt(max(variance, 1e-300))


def tango(b: float, c: float, n: float) -> Interval:
    """Differences that Tango's statistic does not reject, found by halving."""
    if b + c < 1e-12:
        return -Z * Z / (n + Z * Z), Z * Z / (n + Z * Z)
    estimate = (b - c) / n

    def edge(outer: float) -> float:
        inner = estimate
        for _ in range(200):
            middle = (outer + inner) / 2
            inside = abs(tango_statistic(b, c, n, middle)) <= Z
            outer, inner = (outer, middle) if inside else (middle, inner)
        return inner

    low = -1.0 if estimate <= -1 + 1e-12 else edge(-1.0)
    return low, (1.0 if estimate >= 1 - 1e-12 else edge(1.0))


def mcnemar(b: int, c: int) -> float:
    """Two-sided exact test: twice the smaller tail of a fair coin."""
    return min(1.0, 2 * float(special.bdtr(min(b, c), b + c, 0.5))) if b + c else 1.0


def flips(sums: Array, seed: int) -> float:
    """Two-sided p by flipping the signs of groups: all of them where these are few, else drawn with the seed."""
    moving = sums[np.abs(sums) > 1e-15]
    k = len(moving)
    if not k:
        return 1.0
    floor = abs(float(moving.sum())) * (1 - 1e-9)
    if 2**k <= REPLICATES:
        reached = np.array([0.0])
        for value in moving:
            reached = np.concatenate([reached - value, reached + value])
        return float((np.abs(reached) >= floor).mean())
    drawn, reached_too = np.random.default_rng(seed), 0
    for _ in range(REPLICATES):  # a row at a time: the same numbers as all at once, in little memory
        reached_too += abs(float((2.0 * drawn.integers(0, 2, k) - 1) @ moving)) >= floor
    return (1 + reached_too) / (1 + REPLICATES)


def difference(
    first: Sequence[bool],
    second: Sequence[bool],
    groups: Sequence[str],
    weights: Sequence[float] | None,
    seed: int,
    margin: float,
) -> dict[str, Any]:
    """Paired difference, its interval and tests; CR2 from the covariance of the residuals under independence."""
    n = len(first)
    delta = np.asarray(first, float) - np.asarray(second, float)
    weight = np.full(n, 1 / n) if weights is None else np.asarray(weights, float)
    own, count = index(groups)
    b, c = int((delta > 0).sum()), int((delta < 0).sum())
    discordant = len({int(g) for g in own[delta != 0]})
    sums: Array = np.bincount(own, weight * delta).astype(np.float64)
    share: Array = np.bincount(own, weight).astype(np.float64)
    parted = np.bincount(own, weight * (delta != 0))
    weighty = float(parted.sum() ** 2 / (parted @ parted)) if parted.any() else 0.0
    even = float(weight.max() - weight.min()) < 1e-12
    alone = count == n and even
    told: dict[str, Any] = {"difference": float(sums.sum()), "b": b, "c": c, "n": n, "groups": count}
    told["discordant_groups"] = discordant
    told["enough"] = count >= ENOUGH and (alone or discordant >= ENOUGH) and (even or weighty >= ENOUGH)
    if alone:
        low, high = tango(b, c, n)
        return told | _told(low, high, low, high, mcnemar(b, c), _tango_p(b, c, n, margin))
    means = sums / share
    if count < 2 or float(means.max() - means.min()) < 1e-12:
        gain, loss = count * float(weight @ (delta > 0)), count * float(weight @ (delta < 0))
        low, high = (-1.0, 1.0) if count < 2 else tango(gain, loss, count)
        p = 0.5 if count < 2 else _tango_p(gain, loss, count, margin)
        return told | _told(low, high, low, high, flips(sums, seed), p)
    low, high, lower, upper, p = _clustered(share, sums, weighty, margin)
    return told | _told(low, high, lower, upper, flips(sums, seed), p)


def _told(low: float, high: float, lower: float, upper: float, p: float, p_margin: float) -> dict[str, float]:
    return {
        "low": low,
        "high": high,
        "claim_low": min(low, lower),
        "claim_high": max(high, upper),
        "p": p,
        "p_noninferiority": p_margin,
    }


def _tango_p(b: float, c: float, n: float, margin: float) -> float:
    if b + c < 1e-12 and margin == 0:
        return 0.5
    return float(special.ndtr(-tango_statistic(b, c, n, -margin)))


def _clustered(share: Array, sums: Array, weighty: float, margin: float) -> tuple[float, float, float, float, float]:
    """Interval, bounds of a claim and its p, from group sums; the claim knows how skewed they are (Hall, 1992)."""
    estimate = float(sums.sum())
    adjust = 1 / (1 - share)
    residual = sums - share * estimate
    error = math.sqrt(float(adjust @ np.square(residual)))
    # Covariance of the residuals: diag(share) - share share'; freedom = trace(A C)^2 / trace(A C A C).
    own, outer = adjust * share * (1 - share), adjust * share * share
    freedom = float(own.sum()) ** 2 / float((own**2).sum() + outer.sum() ** 2 - (outer**2).sum())
    half = float(special.stdtrit(freedom, 0.975)) * error
    skew = float((adjust**1.5 * residual**3).sum()) / error**3
    fewer = max(1.0, min(freedom, weighty - 1))
    critical = float(special.stdtrit(fewer, 0.975))
    lower = max(-1.0, estimate - error * max(critical, _solved(critical, skew)))
    upper = min(1.0, estimate + error * max(critical, _solved(critical, -skew)))
    reached = (estimate + margin) / error
    p = float(special.stdtr(fewer, -min(reached, _hall(reached, skew))))
    return max(-1.0, estimate - half), min(1.0, estimate + half), lower, upper, p


def _hall(t: float, skew: float) -> float:
    return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6


def _solved(wanted: float, skew: float) -> float:
    """The t whose transform is `wanted`, by halving: the transform is monotone."""
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _hall(middle, skew) < wanted else (low, middle)
    return (low + high) / 2


def balanced_weights(gold: Sequence[str]) -> list[float]:
    """Weights with which every class counts as much."""
    present = sorted(set(gold))
    sizes = {label: sum(own == label for own in gold) for label in present}
    return [1.0 / len(present) / sizes[label] for label in gold]


def recalls(table: Array) -> Array:
    """Balanced accuracy of tables `[draws, labels, labels + 1]`; classes without items are left out."""
    totals = table.sum(axis=2)
    hits = np.stack([table[:, i, i] for i in range(table.shape[1])], axis=1)
    share = np.where(totals > 0, hits / np.where(totals > 0, totals, 1), 0.0)
    found: Array = share.sum(axis=1) / (totals > 0).sum(axis=1)
    return found


def f1(table: Array) -> Array:
    """Macro-F1 of tables `[draws, labels, labels + 1]`; classes without items are left out."""
    totals, said = table.sum(axis=2), table[:, :, :-1].sum(axis=1)
    hits = np.stack([table[:, i, i] for i in range(table.shape[1])], axis=1)
    score = np.where(totals > 0, 2 * hits / np.where(totals + said > 0, totals + said, 1), 0.0)
    found: Array = score.sum(axis=1) / (totals > 0).sum(axis=1)
    return found


def resampled(tables: Array, seed: int) -> list[dict[str, float]]:
    """Balanced accuracy and macro-F1 with the percentile interval of resampled groups, `tables` one a group.

    Lower bounds count a class without a miss as if it had as many as Wilson allows, with its groups as n.
    """
    groups = len(tables)
    flat, counts = np.unique(tables.reshape(groups, -1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(groups, counts / groups, size=REPLICATES)
    kinds = flat.reshape(-1, *tables.shape[1:])
    doubted, whole = kinds.copy(), tables.sum(axis=0)
    for i in range(len(whole)):
        if whole[i, i] > 0 and whole[i].sum() == whole[i, i]:
            units = int((tables[:, i].sum(axis=1) > 0).sum())
            low = wilson(units, units)[0]
            doubted[:, i, -1] = kinds[:, i, -1] + (1 - low) * kinds[:, i, i]
            doubted[:, i, i] = low * kinds[:, i, i]
    found = []
    for metric in (recalls, f1):
        lows = metric(np.tensordot(drawn, doubted, axes=(1, 0)))
        highs = metric(np.tensordot(drawn, kinds, axes=(1, 0)))
        value = float(metric(whole[None])[0])
        low, high = float(np.percentile(lows, 2.5)), float(np.percentile(highs, 97.5))
        found.append({"value": value, "low": min(low, value), "high": max(high, value)})
    return found
