"""Two models on the same items: their difference, whether one may replace the other, and whether that can be told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from finetune.stats import clusters
from finetune.stats.clusters import tango
from finetune.stats.resampling import sign_flip

ENOUGH_GROUPS = 20
"""Fewer independent groups, or fewer of them with a discordant item, are no ground for a verdict."""
MANY_GROUPS = 40
"""Below this the bounds are flagged as approximate."""


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


@dataclass(frozen=True)
class Evidence:
    """Whether there are enough independent groups for a verdict, with the reason where there are not."""

    enough: bool
    flagged: bool
    reason: str


@dataclass(frozen=True)
class NonInferiority:
    """Whether the first model is at most `margin` worse than the second.

    Attributes:
        difference: first minus second.
        lower: one-sided lower bound, error 2.5 %.
        upper: one-sided upper bound, error 2.5 %.
        p: one-sided, of "worse by the margin or more"; below 0.025 where the lower bound lies above -margin.
        passes: the lower bound lies above -margin, and there is enough evidence to trust it.
        enough: whether bounds and p can be trusted.
        flagged: fewer than 40 groups; the bounds are approximate.
        reason: why there is not enough, or why it is flagged; "" where all is well.
        discordant_groups: groups with at least one item on which the models disagree.
        groups: independent units.
    """

    difference: float
    lower: float
    upper: float
    p: float
    passes: bool
    enough: bool
    flagged: bool
    reason: str
    discordant_groups: int
    groups: int


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar test of b against c discordant items; 1 where there are none."""
    return float(stats.binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0


def class_weights(gold: Sequence[str]) -> list[float]:
    """Weights 1 / (K x n of the item's class), summing to 1: they turn accuracy into balanced accuracy."""
    counts = Counter(gold)
    return [1 / (len(counts) * counts[label]) for label in gold]


def metric_weights(metric: str, gold: Sequence[str], positive: str | None = None) -> list[float] | None:
    """Weights that turn the difference of accuracy into that of another metric; None = every item alike.

    Args:
        metric: accuracy, balanced_accuracy, sensitivity or specificity.
        gold: per item.
        positive: label that sensitivity is about; the items of other labels then weigh nothing.
    """
    if metric == "balanced_accuracy":
        return class_weights(gold)
    if metric not in ("sensitivity", "specificity"):
        return None
    counted = [(label == positive) == (metric == "sensitivity") for label in gold]
    return [own / max(1, sum(counted)) for own in counted]


def paired_difference(
    first: Sequence[bool],
    second: Sequence[bool],
    groups: Sequence[str],
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Difference:
    """Difference of (weighted) accuracy between two models on the same items.

    Without groups (every item its own) and with equal weights: Tango's interval, exact McNemar. Otherwise: t on group
    sums with the CR2 variance and its Bell-McCaffrey degrees of freedom, which are G - 1 for groups of equal weight; p
    by flipping the signs of whole groups. (A percentile bootstrap over groups errs far more often than it says.)

    Args:
        first: per item, whether the first model is right.
        second: the same for the second model.
        groups: per item, what it is not independent of (part, patient).
        weights: per item, summing to 1 (`metric_weights`); None = equal. Items of weight 0 are left out everywhere.
        seed: of the sign flips, used where 2^groups exceeds the number of resamples.
    """
    sample = clusters.sample_of(first, second, groups, weights)
    counts = (sample.n, sample.groups, sample.discordant)
    difference = float(sample.sums.sum())
    if sample.alone:
        low, high = tango(sample.b, sample.c, sample.n)
        p, method = mcnemar_exact(sample.b, sample.c), "Tango score interval, exact McNemar"
    else:
        low, high = clusters.interval(sample)
        p, method = sign_flip(sample.sums, seed), "t on group sums (CR2), sign-flip of groups"
    return Difference(difference, low, high, sample.b, sample.c, p, *counts, method)


def noninferiority(
    first: Sequence[bool],
    second: Sequence[bool],
    groups: Sequence[str],
    margin: float,
    weights: Sequence[float] | None = None,
) -> NonInferiority:
    """Whether the first model may stand in for the second: a lower bound above -margin, on enough evidence.

    Each bound errs in 2.5 %. Without groups they are those of `paired_difference`; with groups they are never nearer
    than those (`finetune.stats.clusters.claim`). bench/noninferiority.py measures how often the criterion is wrong.

    Args:
        first: per item, whether the candidate is right.
        second: the same for the model that it would replace.
        groups: per item, what it is not independent of.
        margin: largest loss that is acceptable, 0..1.
        weights: per item, summing to 1; None = equal.
    """
    sample = clusters.sample_of(first, second, groups, weights)
    found = evidence(sample.groups, sample.discordant, sample.alone, None if sample.even else sample.weighty)
    if sample.alone:
        lower, upper = tango(sample.b, sample.c, sample.n)
        p = clusters.score_p(sample.b, sample.c, sample.n, margin)
    else:
        lower, upper, p = clusters.claim_of(sample, margin)
    return NonInferiority(
        difference=float(sample.sums.sum()),
        lower=lower,
        upper=upper,
        p=p,
        passes=found.enough and lower > -margin,
        enough=found.enough,
        flagged=found.flagged,
        reason=found.reason,
        discordant_groups=sample.discordant,
        groups=sample.groups,
    )


def evidence(groups: int, discordant_groups: int, alone: bool, weighty: float | None = None) -> Evidence:
    """Whether bounds on this many groups can be trusted.

    Args:
        groups: independent units.
        discordant_groups: those with at least one item on which the models disagree.
        alone: every item is its own group and weighs the same: Tango's interval, which holds with few disagreements.
        weighty: effective number of discordant groups where items weigh differently (balanced accuracy).
    """
    unit = "items" if alone else "groups"
    needed = f"at least {ENOUGH_GROUPS} are needed"
    if groups < ENOUGH_GROUPS:
        return Evidence(False, True, f"only {groups} independent {unit}, {needed}")
    if not alone and discordant_groups < ENOUGH_GROUPS:
        told = f"only {discordant_groups} of {groups} groups hold an item on which the two disagree"
        return Evidence(False, True, f"{told}, {needed}")
    if weighty is not None and weighty < ENOUGH_GROUPS:
        told = f"few items of a rare class decide: the {discordant_groups} groups with a disagreement"
        return Evidence(False, True, f"{told} weigh as much as {weighty:.0f} equal ones, {needed}")
    if groups < MANY_GROUPS:
        return Evidence(True, True, f"{groups} independent {unit}: below {MANY_GROUPS} the bounds are approximate")
    return Evidence(True, False, "")
