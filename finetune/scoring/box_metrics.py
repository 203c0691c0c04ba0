"""Boxes: F1 at IoU 0.5, count error, and average precision where boxes have scores.

F1 matches boxes of one label one to one so that as many as possible reach the threshold (optimal assignment), and does
not depend on the order in which a model lists them. Greedy matching by score, which average precision is defined with
(Pascal VOC, COCO), can match fewer: a box takes its best partner although its second best would leave room for another.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from finetune.example import Score
from finetune.scoring.box_text import Placed, from_json
from finetune.scoring.ratio import ratio

THRESHOLD = 0.5
"""Intersection over union from which two boxes are one find."""

_REPLICATES = 200
Array = NDArray[np.float64]


def iou(first: Sequence[Placed], second: Sequence[Placed]) -> Array:
    """Intersection over union of every pair, `[first, second]`; 0 where labels differ."""
    # In hundredths, the last digit of the canonical text, areas are whole numbers: exactly half is half.
    a, b = (np.rint(np.array([box.box for box in side], float).reshape(-1, 4) * 100) for side in (first, second))
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(side[:, 2:] - side[:, :2]).prod(-1) for side in (a, b)]
    same = np.array([[x.label == y.label for y in second] for x in first], bool).reshape(len(first), len(second))
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.where(same, shared / np.maximum(union, 1e-12), 0.0)


def optimal(gold: Sequence[Placed], said: Sequence[Placed], threshold: float = THRESHOLD) -> int:
    """Most one-to-one matches of one label at the threshold."""
    hits = iou(gold, said) >= threshold
    rows, columns = linear_sum_assignment(hits, maximize=True)
    return int(hits[rows, columns].sum())


def greedy(gold: Sequence[Placed], said: Sequence[Placed], threshold: float = THRESHOLD) -> list[bool]:
    """For each box said, whether it finds a gold box that is still free, in order of score (then as listed)."""
    table, free = iou(gold, said), np.ones(len(gold), bool)
    found = [False] * len(said)
    for index in sorted(range(len(said)), key=lambda i: -_score(said[i])):
        column = np.where(free, table[:, index], -1.0)
        if len(gold) and column.max() >= threshold:
            free[int(column.argmax())] = False
            found[index] = True
    return found


def _score(box: Placed) -> float:
    return 0.0 if box.score is None else box.score


def exact(gold: str, answer: str) -> bool:
    """Whether every gold box is found at the threshold and nothing else is said; canonical texts."""
    wanted, said = from_json(gold), from_json(answer)
    return len(wanted) == len(said) == optimal(wanted, said)


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Micro F1 at IoU 0.5, mean absolute error of the count, and AP at 0.5 where every box said has a score.

    A reply without boxes to read finds nothing.
    """
    wanted = [from_json(gold) for gold in golds]
    said = [from_json(answer) if answer is not None else [] for answer in answers]
    twice = [2.0 * optimal(g, s) for g, s in zip(wanted, said, strict=True)]
    errors = [float(abs(len(g) - len(s))) for g, s in zip(wanted, said, strict=True)]
    most = max((len(side) for side in (*wanted, *said)), default=1) or 1
    found = {
        "f1_iou50": ratio(twice, [float(len(g) + len(s)) for g, s in zip(wanted, said, strict=True)], groups),
        "count_error": ratio(errors, [1.0] * len(errors), groups, top=float(most)),
    }
    every = [box for side in said for box in side]
    if every and all(box.score is not None for box in every):
        found["map_50"] = mean_average_precision(wanted, said, groups)
    return found


def mean_average_precision(
    golds: Sequence[Sequence[Placed]], said: Sequence[Sequence[Placed]], groups: Sequence[str], seed: int = 0
) -> Score:
    """Mean over labels of the average precision at IoU 0.5 (all-point, VOC 2010), percentile interval over groups.

    A label without a gold box in a resample has no average precision there and is left out of its mean, as COCO leaves
    out what has none in a data set (pycocotools, -1); a resample without any gold box says nothing.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_REPLICATES)
    weights = [np.ones(len(golds)), *(draw[index].astype(float) for draw in draws)]
    tables = [_detections(label, golds, said) for label in sorted({box.label for side in golds for box in side})]
    if not tables:
        return Score(0.0, 0.0, 1.0)
    values = [_mean([_average_precision(*table, weight) for table in tables]) for weight in weights]
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Score(values[0], min(values[0], float(low)), max(values[0], float(high)))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _detections(
    label: str, golds: Sequence[Sequence[Placed]], said: Sequence[Sequence[Placed]]
) -> tuple[NDArray[np.intp], Array, Array]:
    """Of one label, by falling score: the item of each detection and whether it hits; and gold boxes an item."""
    rows: list[tuple[float, int, bool]] = []
    positives = np.zeros(len(golds))
    for item, (gold, found) in enumerate(zip(golds, said, strict=True)):
        own, mine = [b for b in gold if b.label == label], [b for b in found if b.label == label]
        positives[item] = len(own)
        rows += [(_score(box), item, hit) for box, hit in zip(mine, greedy(own, mine), strict=True)]
    rows.sort(key=lambda row: -row[0])
    return np.array([row[1] for row in rows], np.intp), np.array([row[2] for row in rows], float), positives


def _average_precision(items: NDArray[np.intp], hits: Array, positives: Array, weight: Array) -> float:
    total = float((positives * weight).sum())
    if total == 0 or not len(items):
        return 0.0 if total else float("nan")
    counted = weight[items]
    right, seen = np.cumsum(hits * counted), np.cumsum(counted)
    recall, precision = right / total, right / np.maximum(seen, 1e-12)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())
