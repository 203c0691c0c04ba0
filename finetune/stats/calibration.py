"""Whether a stated probability can be believed: proper scores, the recalibration line, ECE and its null band."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from finetune.example import Score
from finetune.stats.proportions import wilson

Array = NDArray[np.float64]

REPLICATES = 2_000
"""Simulated perfectly calibrated samples behind the null band of the ECE."""
_TINY = 1e-12
_COLDEST, _HOTTEST = 0.05, 20.0
_TIE = 1e-7
"""Weight of (ln T)^2: where many temperatures do as well (no error at all), the one nearest to 1 is taken."""


@dataclass(frozen=True)
class Bin:
    """A bar of a reliability plot: `confidence` is the mean stated one, `right` the share of hits with its interval."""

    n: int
    confidence: float
    right: Score


@dataclass(frozen=True)
class Ece:
    """Expected calibration error of the stated answer.

    Attributes:
        plain: as observed; never read it without `null`.
        debiased: `plain` minus what chance alone makes of a perfectly calibrated model, at least 0.
        null: what a perfectly calibrated model with the same probabilities shows: mean and 95 % band.
    """

    plain: float
    debiased: float
    null: Score


def brier(probabilities: ArrayLike, gold: Sequence[int]) -> float:
    """Brier score, the mean over items of sum over classes (p - is gold)^2, 0..2 (Brier, 1950).

    Args:
        probabilities: `[items, classes]`, rows sum to 1.
        gold: column of the right class, per item.
    """
    p = np.asarray(probabilities, float)
    return float(((p - np.eye(p.shape[1])[np.asarray(gold)]) ** 2).sum(1).mean())


def log_loss(probabilities: ArrayLike, gold: Sequence[int]) -> float:
    """Mean of -ln p(gold) in nats, p held above 1e-12; arguments as in `brier`."""
    p = np.asarray(probabilities, float)[np.arange(len(gold)), np.asarray(gold)]
    return float(-np.log(np.maximum(p, _TINY)).mean())


def slope_intercept(probabilities: ArrayLike, hits: Sequence[bool]) -> tuple[float, float] | None:
    """Cox's recalibration (Biometrika 45:562, 1958): slope of logit(hit) on logit(p), and calibration in the large.

    Perfect is (1, 0). A slope below 1 is overconfident; an intercept below 0 says that p is too high on average. The
    intercept is fitted with the slope fixed at 1, as in Van Calster et al. (BMC Med. 17:230, 2019). None where the line
    is not determined: only hits, only misses, one probability, or hits and misses that do not overlap.

    Args:
        probabilities: per item, that it is a hit (of the positive class, or of the answer given).
        hits: per item.
    """
    p, y = np.clip(np.asarray(probabilities, float), _TINY, 1 - _TINY), np.asarray(hits, bool)
    if y.all() or not y.any():
        return None
    logit = special.logit(p)
    if logit[y].min() >= logit[~y].max() or logit[y].max() <= logit[~y].min():
        return None

    def loss(line: Array) -> float:
        z = line[0] + line[1] * logit
        return float(np.logaddexp(0, z).sum() - z[y].sum())

    def gradient(line: Array) -> Array:
        error = special.expit(line[0] + line[1] * logit) - y
        return np.array([error.sum(), (error * logit).sum()])

    fitted = optimize.minimize(loss, np.array([0.0, 1.0]), jac=gradient, method="BFGS", options={"gtol": 1e-6 * len(y)})
    shift = optimize.brentq(lambda a: float(special.expit(a + logit).sum()) - y.sum(), -60.0, 60.0)
    return float(fitted.x[1]), float(shift)


def ece(probabilities: ArrayLike, hits: Sequence[bool], bins: int = 10, seed: int = 0) -> Ece:
    """Expected calibration error over bins of equal mass, with what chance alone would show.

    A perfectly calibrated model shows about 0.11 at n = 63, 0.05 at 300, 0.036 at 600 with 10 bins (confidences
    between 0.65 and 1), so the plain figure says nothing without `null`.

    Args:
        probabilities: per item, that of the answer given.
        hits: per item, whether that answer is right.
        bins: of (nearly) the same number of items; never more than items, and fewer where many share a probability.
        seed: of the null band.
    """
    p, order = _sorted(probabilities)
    plain = float(_gap(p, np.asarray(hits, float)[order][None], bins)[0]) if len(p) else 0.0
    null = ece_null_band(p, bins=bins, seed=seed)
    return Ece(plain, max(0.0, plain - null.value), null)


def ece_null_band(probabilities: ArrayLike, n: int | None = None, bins: int = 10, seed: int = 0) -> Score:
    """ECE that a perfectly calibrated model with these probabilities shows: mean and central 95 % of simulated samples.

    Args:
        probabilities: per item, that of the answer given.
        n: size of the sample, drawn anew from `probabilities` each time; None = these very items.
        bins: as in `ece`.
        seed: of the simulation.
    """
    p, _ = _sorted(probabilities)
    if not len(p):
        return Score(0.0, 0.0, 1.0)
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(0, REPLICATES, 100):
        sample = p if n is None else np.sort(generator.choice(p, (100, n)), axis=1)
        hits = generator.random((100, sample.shape[-1])) < sample
        found.append(_gap(sample, hits.astype(float), bins))
    values = np.concatenate(found)
    low, high = np.percentile(values, (2.5, 97.5))
    return Score(float(values.mean()), float(low), float(high))


def reliability(probabilities: ArrayLike, hits: Sequence[bool], bins: int = 10) -> list[Bin]:
    """The bars of a reliability plot: bins of equal mass, Wilson's interval of each share of hits."""
    p, order = _sorted(probabilities)
    y = np.asarray(hits, bool)[order]
    edges = _edges(p, bins)
    return [Bin(int(b - a), float(p[a:b].mean()), wilson(int(y[a:b].sum()), int(b - a))) for a, b in pairwise(edges)]


def fit_temperature(logprobs: ArrayLike, gold: Sequence[int]) -> float:
    """Temperature that minimises the log loss of softmax(logprobs / T) (Guo et al., ICML 2017); one parameter.

    To be fitted on validation items. It is held within 0.05..20, which a sample without an error would leave; where the
    loss cannot tell temperatures apart it is the one nearest to 1, and 1 without items.

    Args:
        logprobs: `[items, classes]` log-probabilities, normalised or not.
        gold: column of the right class, per item.
    """
    scores, place = np.asarray(logprobs, float), (np.arange(len(gold)), np.asarray(gold, int))
    if not len(gold):
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = scores / math.exp(log_temperature)
        return float((special.logsumexp(scaled, axis=1) - scaled[place]).mean()) + _TIE * log_temperature**2

    found = optimize.minimize_scalar(
        loss, bounds=(math.log(_COLDEST), math.log(_HOTTEST)), method="bounded", options={"xatol": 1e-6}
    )
    return math.exp(float(found.x))


def apply_temperature(logprobs: ArrayLike, temperature: float) -> Array:
    """softmax(logprobs / temperature) over the last axis."""
    probabilities: Array = special.softmax(np.asarray(logprobs, float) / temperature, axis=-1)
    return probabilities


def _sorted(probabilities: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
    p = np.asarray(probabilities, float)
    order = np.argsort(p, kind="stable")
    return p[order], order


def _edges(p: Array, bins: int) -> NDArray[np.intp]:
    """Where bins of equal mass begin and end in sorted `p`, ties in one bin: cut through, they would hang on the order.

    Samples `[samples, items]` are drawn, their ties are in random order already.
    """
    n = p.shape[-1]
    even = np.linspace(0, n, min(bins, max(1, n)) + 1).round().astype(np.intp)
    if p.ndim == 1 and n:
        even[1:-1] = np.searchsorted(p, p[even[1:-1]], side="left")
    return np.unique(even)


def _gap(p: Array, hits: Array, bins: int) -> Array:
    """Weighted mean over bins of |share of hits - mean p|; `p` sorted, `[items]` or `[samples, items]` as `hits`."""
    starts = _edges(p, bins)[:-1]
    found: Array = np.abs(np.add.reduceat(hits - p, starts, axis=-1)).sum(-1) / hits.shape[-1]
    return found
