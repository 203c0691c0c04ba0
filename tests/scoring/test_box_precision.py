"""Average precision against pycocotools, on pictures with and without boxes."""

import contextlib
import io

import numpy as np
import pytest
from oracle import boxes as second
from oracle import of_detect
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from finetune.scoring import box_metrics
from finetune.scoring.box_precision import average_precisions
from finetune.scoring.box_text import Placed, to_json

LABELS = ("dent", "cut", "pit")


def pictures(seed, count=300):
    """Gold and said boxes of random pictures: empty ones, shifted finds, false alarms, one with over 100."""
    random = np.random.default_rng(seed)
    golds, said = [], []
    for number in range(count):
        gold = [box(random) for _ in range(random.integers(0, 6))]
        found = [shifted(random, b) for b in gold if random.random() < 0.8]
        noise = 450 if number == 7 else random.integers(0, 4)
        golds.append(gold)
        said.append(found + [box(random, scored=True) for _ in range(noise)])
    return golds, said


def box(random, scored=False):
    x, y, w, h = (int(v) for v in random.integers(1, 500, 4))
    return Placed(str(random.choice(LABELS)), (x, y, x + w, y + h), float(random.random()) if scored else None)


def shifted(random, gold):
    x1, y1, x2, y2 = gold.box
    by = [int(v) for v in random.integers(-12, 13, 2)]
    corners = (max(0, x1 + by[0]), max(0, y1 + by[1]), min(1000, x2 + by[0] + 14), min(1000, y2 + by[1] + 14))
    return Placed(gold.label, tuple(map(float, corners)), float(random.random()))


def coco(golds, said):
    """AP50:95 and AP50 of pycocotools."""
    number = {label: place + 1 for place, label in enumerate(LABELS)}

    def row(item, b):
        x1, y1, x2, y2 = b.box
        return {"image_id": item, "category_id": number[b.label], "bbox": [x1, y1, x2 - x1, y2 - y1]}

    annotations = [
        row(item, b) | {"area": (b.box[2] - b.box[0]) * (b.box[3] - b.box[1]), "iscrowd": 0}
        for item, side in enumerate(golds)
        for b in side
    ]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": item} for item in range(len(golds))],
        "annotations": [a | {"id": place} for place, a in enumerate(annotations, 1)],
        "categories": [{"id": place, "name": label} for label, place in number.items()],
    }
    results = [row(item, b) | {"score": b.score or 0.0} for item, side in enumerate(said) for b in side]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0], run.stats[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_is_that_of_pycocotools(seed):
    golds, said = pictures(seed)
    at_half, mean = average_precisions(golds, said, [str(i) for i in range(len(golds))], box_metrics.iou)
    whole, half = coco(golds, said)
    assert 0.1 < whole < 0.9
    assert mean.value == pytest.approx(whole, abs=1e-9)
    assert at_half.value == pytest.approx(half, abs=1e-9)
    assert mean.low < mean.value < mean.high


def test_the_second_computation_agrees():
    golds, said = pictures(3, 40)
    texts = [to_json(side) for side in golds], [to_json(side) for side in said]
    groups = [str(i // 2) for i in range(40)]
    first = box_metrics.metrics(*texts, groups)
    other = of_detect.metrics(*texts, groups)
    assert set(first) == set(other) == {"f1_iou50", "count_error", "unreadable_boxes", "map_50", "map_50_95"}
    for name, score in first.items():
        for side in ("value", "low", "high"):
            assert getattr(score, side) == pytest.approx(other[name][side], abs=1e-9), (name, side)


def test_one_box_without_a_score_ranks_last():
    gold = [Placed("dent", (0, 0, 100, 100))]
    said = [Placed("dent", (0, 0, 100, 100)), Placed("dent", (500, 500, 600, 600), 0.3)]
    scores = box_metrics.metrics([to_json(gold)], [to_json(said)], ["a"])
    assert scores["map_50"].value == pytest.approx(0.5)  # found at rank 2 of 2: precision 1/2 at every recall
    assert second.hits(second.read(to_json(gold)), second.read(to_json(said))) == [True, False]


def test_pictures_without_boxes_have_no_average_precision_to_lose():
    assert box_metrics.metrics(["[]"], [to_json([Placed("dent", (0, 0, 9, 9), 0.5)])], ["a"])["map_50"].value == 0
    assert "map_50" not in box_metrics.metrics(["[]"], ["[]"], ["a"])
