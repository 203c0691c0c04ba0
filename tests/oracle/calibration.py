"""Calibration once more: temperature by a grid, the line by Newton's steps, the null band bin by bin."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from oracle import formulas
from oracle.rows import FAILED, Row

Tree = dict[str, Any]
Array = NDArray[np.float64]
SIMULATED = 2_000
"""Perfectly calibrated samples behind the null band, drawn a hundred at a time: the same numbers as in the file."""
SMALLEST = 1e-12


def expected(rows: Sequence[Row], validation: Sequence[Row], labels: Sequence[str], seed: int) -> Tree:
    """`calibration` of one model: temperature from validation, everything else from the test."""
    own = [row for row in _known(rows) if row["outcome"] not in FAILED]
    if not own or len(labels) < 2:
        return {}
    fitted = _known(validation)
    temperature = _temperature(_logs(fitted, labels), [labels.index(row["gold"]) for row in fitted]) if fitted else None
    scaled = special.log_softmax(_logs(own, labels) / (1.0 if temperature is None else temperature), axis=1)
    gold = np.array([labels.index(row["gold"]) for row in own])
    chances = np.exp(scaled)
    truth = np.zeros_like(chances)
    truth[np.arange(len(own)), gold] = 1
    told: Tree = {
        "n": len(own),
        "temperature": temperature,
        "brier": float(((chances - truth) ** 2).sum(axis=1).mean()),
        "log_loss": float(-np.maximum(scaled[np.arange(len(own)), gold], math.log(SMALLEST)).mean()),
    }
    top, hits = chances.max(axis=1), (chances.argmax(axis=1) == gold).astype(float)
    slope, intercept = line(top, hits)
    return {"calibration": told | {"slope": slope, "intercept": intercept} | _errors(top, hits, seed)}


def _known(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["probabilities"] and row["gold"] in row["probabilities"]]


def _logs(rows: Sequence[Row], labels: Sequence[str]) -> Any:
    return np.log(np.clip([[row["probabilities"].get(label, 0.0) for label in labels] for row in rows], SMALLEST, 1.0))


def _temperature(logs: Any, gold: Sequence[int]) -> float:
    place = (np.arange(len(gold)), np.asarray(gold))

    def loss(exponent: float) -> float:
        own = -special.log_softmax(logs / math.exp(exponent), axis=1)[place]
        return float(own.mean()) + 1e-7 * exponent**2

    grid = np.linspace(math.log(0.05), math.log(20.0), 61)
    best = int(np.argmin([loss(x) for x in grid]))
    ends = (grid[max(0, best - 1)], grid[min(60, best + 1)])
    found = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def line(top: Array, hits: Array) -> tuple[float | None, float | None]:
    """Slope of logit(hit) on logit(confidence), and the intercept at slope 1; (None, None) where hits and misses part.

    Newton's steps on the log-likelihood, halved while they do not climb.
    """
    logit = special.logit(np.clip(top, SMALLEST, 1 - SMALLEST))
    right, wrong = logit[hits == 1], logit[hits == 0]
    if not len(right) or not len(wrong) or right.min() >= wrong.max() or right.max() <= wrong.min():
        return None, None
    return float(_newton(np.stack([np.ones_like(logit), logit]), hits, np.array([0.0, 1.0]), 0 * logit)[1]), float(
        _newton(np.ones((1, len(logit))), hits, np.zeros(1), logit)[0]
    )


def _newton(columns: Array, hits: Array, start: Array, offset: Array) -> Array:
    """Logistic regression of `hits` on `columns` `[coefficients, items]` beside a fixed `offset`."""

    def climbed(at: Array) -> float:
        z = at @ columns + offset
        return float((hits * z - np.logaddexp(0, z)).sum())

    here = start
    for _ in range(200):
        chance = special.expit(here @ columns + offset)
        curvature = (columns * (chance * (1 - chance))) @ columns.T
        step = np.linalg.solve(curvature, columns @ (hits - chance))
        while climbed(here + step) < climbed(here) and float(np.abs(step).max()) > 1e-14:
            step = step / 2
        here = here + step
        if float(np.abs(step).max()) < 1e-11:
            break
    return here


def _errors(top: Array, hits: Array, seed: int) -> Tree:
    """The calibration error over ten bins of equal mass, what chance alone makes of it, and the bins."""
    order = np.argsort(top, kind="stable")
    even = np.unique(np.round(np.linspace(0, len(top), min(10, len(top)) + 1)).astype(int))
    ordered = top[order]
    edges = np.array(sorted({int(edge) if edge == len(top) else int((ordered < ordered[edge]).sum()) for edge in even}))
    bars = [order[a:b] for a, b in itertools.pairwise(edges)]
    plain = sum(abs(float((hits[bar] - top[bar]).sum())) for bar in bars) / len(top)
    null = _null(top[order], edges, seed)
    bins = [
        {"n": len(bar), "confidence": float(top[bar].mean()), "accuracy": formulas.share(hits[bar].sum(), len(bar))}
        for bar in bars
    ]
    low, high = np.percentile(null, [2.5, 97.5])
    debiased = max(0.0, plain - float(null.mean()))
    return {"ece": plain, "ece_debiased": debiased, "ece_null": [float(low), float(high)], "bins": bins}


def _null(confidence: Array, edges: NDArray[Any], seed: int) -> Array:
    """The error of samples in which every item is right with its own confidence."""
    drawn, found = np.random.default_rng(seed), []
    for _ in range(SIMULATED // 100):
        surplus = np.cumsum((drawn.random((100, len(confidence))) < confidence) - confidence, axis=1)
        ends = np.concatenate([np.zeros((100, 1)), surplus[:, edges[1:] - 1]], axis=1)
        found.append(np.abs(np.diff(ends, axis=1)).sum(axis=1) / len(confidence))
    return np.concatenate(found)
