"""Average precision of boxes as COCO defines it: equal to pycocotools, which a test holds it against.

Rules: at most 100 boxes of one label an image, best score first; at each threshold a box takes the
free gold box that it shares most with; precision at 101 recalls is the best at that recall or above;
labels without a gold box do not count.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from finetune.example import Score
from finetune.scoring.box_text import Placed

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Boxes of one label an image that count."""

_REPLICATES = 200
Array = NDArray[np.float64]
Overlap = Callable[[Sequence[Placed], Sequence[Placed]], Array]
Table = tuple[NDArray[np.intp], Array, Array]
"""Of one label by falling score: item of each box, `[thresholds, boxes]` whether it hits, and gold boxes an item."""


def average_precisions(
    golds: Sequence[Sequence[Placed]],
    said: Sequence[Sequence[Placed]],
    groups: Sequence[str],
    overlap: Overlap,
    seed: int = 0,
) -> tuple[Score, Score]:
    """AP50 and AP50:95, each a mean over labels with a percentile interval over resampled groups.

    A label without a gold box in a resample is left out of its mean; a resample without any gold
    box says nothing. A box without a score ranks after all others.

    Args:
        golds: boxes of each item.
        said: boxes that a model said.
        groups: of each item.
        overlap: intersection over union of every pair, `[gold, said]`.
        seed: of the resamples.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_REPLICATES)
    weights = [np.ones(len(golds)), *(draw[index].astype(float) for draw in draws)]
    labels = sorted({box.label for side in golds for box in side})
    if not labels:
        return Score(0.0, 0.0, 1.0), Score(0.0, 0.0, 1.0)
    tables = [_table(label, golds, said, overlap) for label in labels]
    # [weights, labels, thresholds]
    values = np.array([[_precisions(*table, weight) for table in tables] for weight in weights])
    return _score(values[..., :1]), _score(values)


def _score(values: Array) -> Score:
    """The mean over labels and thresholds; NaN stands for a label without a gold box in a resample."""
    flat = values.reshape(len(values), -1)
    known = ~np.isnan(flat)
    counts = known.sum(1)
    means = np.where(known, flat, 0.0).sum(1)[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means[1:], [2.5, 97.5]) if len(means) > 1 else (0.0, 1.0)
    return Score(float(means[0]), min(float(means[0]), float(low)), max(float(means[0]), float(high)))


def _table(label: str, golds: Sequence[Sequence[Placed]], said: Sequence[Sequence[Placed]], overlap: Overlap) -> Table:
    rows: list[tuple[float, int, NDArray[np.bool_]]] = []
    positives = np.zeros(len(golds))
    for item, (gold, found) in enumerate(zip(golds, said, strict=True)):
        wanted = [box for box in gold if box.label == label]
        given = sorted((box for box in found if box.label == label), key=lambda box: -confidence(box))[:MOST]
        positives[item] = len(wanted)
        hits = matched(overlap(wanted, given))
        rows += [(confidence(box), item, hits[:, place]) for place, box in enumerate(given)]
    rows.sort(key=lambda row: -row[0])
    every: Array = np.array([row[2] for row in rows], float).reshape(len(rows), len(THRESHOLDS)).T
    return np.array([row[1] for row in rows], np.intp), every, positives


def confidence(box: Placed) -> float:
    """The score of a box; 0 where it has none."""
    return 0.0 if box.score is None else box.score


def matched(table: Array) -> NDArray[np.bool_]:
    """Greedy matches, `[thresholds, said]`; of equal partners the last, as in pycocotools.

    Args:
        table: `[gold, said]`, said by falling score.
    """
    found = np.zeros((len(THRESHOLDS), table.shape[1]), bool)
    if not table.size:
        return found
    for place, threshold in enumerate(THRESHOLDS):
        free = np.ones(table.shape[0], bool)
        for column in range(table.shape[1]):
            shares = np.where(free, table[:, column], -1.0)
            best = len(shares) - 1 - int(shares[::-1].argmax())
            if shares[best] >= min(threshold, 1 - 1e-10):
                free[best] = False
                found[place, column] = True
    return found


def _precisions(items: NDArray[np.intp], hits: Array, positives: Array, weight: Array) -> Array:
    """Average precision at each threshold, `[thresholds]`, items counted as often as they were drawn."""
    total = float((positives * weight).sum())
    if total == 0:
        return np.full(len(THRESHOLDS), np.nan)
    if not len(items):
        return np.zeros(len(THRESHOLDS))
    counted = weight[items]
    right, seen = np.cumsum(hits * counted, axis=1), np.cumsum(counted)
    recall, precision = right / total, right / np.maximum(seen, np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.zeros(len(THRESHOLDS))
    for place in range(len(THRESHOLDS)):
        at = np.searchsorted(recall[place], RECALLS, side="left")
        reached = at < len(items)
        found[place] = envelope[place][at[reached]].sum() / len(RECALLS)
    return found
