"""Boxes: F1 at IoU 0.5, count error, and average precision where boxes have scores (`box_precision`).

F1 matches boxes of one label one to one so that as many as possible reach the threshold (optimal assignment), and does
not depend on the order in which a model lists them. Greedy matching by score, which average precision is defined with
(Pascal VOC, COCO), can match fewer: a box takes its best partner although its second best would leave room for another.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from finetune.example import Score
from finetune.scoring.box_precision import average_precisions
from finetune.scoring.box_text import UNREADABLE, Placed, from_json
from finetune.scoring.ratio import ratio

THRESHOLD = 0.5
"""Intersection over union from which two boxes are one find."""

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


def exact(gold: str, answer: str) -> bool:
    """Whether every gold box is found at the threshold and nothing else is said; canonical texts."""
    wanted, said = from_json(gold), from_json(answer)
    return len(wanted) == len(said) == optimal(wanted, said)


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Micro F1 at IoU 0.5, mean absolute error of the count, share of boxes that cannot be read; AP50 and AP50:95.

    A reply without boxes to read finds nothing. Average precision needs scores: without any there
    is none, and a box without one ranks after all others.
    """
    wanted = [from_json(gold) for gold in golds]
    said = [from_json(answer) if answer is not None else [] for answer in answers]
    twice = [2.0 * optimal(g, s) for g, s in zip(wanted, said, strict=True)]
    errors = [float(abs(len(g) - len(s))) for g, s in zip(wanted, said, strict=True)]
    most = max((len(side) for side in (*wanted, *said)), default=1) or 1
    found = {
        "f1_iou50": ratio(twice, [float(len(g) + len(s)) for g, s in zip(wanted, said, strict=True)], groups),
        "count_error": ratio(errors, [1.0] * len(errors), groups, top=float(most)),
        "unreadable_boxes": ratio(
            [float(sum(box.box == UNREADABLE for box in side)) for side in said],
            [float(len(side)) for side in said],
            groups,
        ),
    }
    every = [box for side in said for box in side]
    if any(box.score is not None for box in every):
        found["map_50"], found["map_50_95"] = average_precisions(wanted, said, groups, iou)
    return found
