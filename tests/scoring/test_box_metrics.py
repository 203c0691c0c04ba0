import random

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from finetune.scoring import box_metrics
from finetune.scoring.box_precision import matched
from finetune.scoring.box_text import Placed, to_json


def placed(*corners, label="dent", score=None):
    return Placed(label, corners, score)


def some(count, seed):
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        x, y = chance.randrange(900), chance.randrange(900)
        found.append(placed(x, y, x + chance.randint(1, 99), y + chance.randint(1, 99)))
    return found


def test_overlap_agrees_with_torchvision():
    first, second = some(40, 1), some(30, 2)
    theirs = box_iou(torch.tensor([b.box for b in first]).float(), torch.tensor([b.box for b in second]).float())
    np.testing.assert_allclose(box_metrics.iou(first, second), theirs.numpy(), atol=1e-6)


def test_other_labels_do_not_overlap():
    assert box_metrics.iou([placed(0, 0, 10, 10)], [placed(0, 0, 10, 10, label="scratch")]).tolist() == [[0.0]]


def test_optimal_matching_finds_what_greedy_misses():
    gold = [placed(0, 0, 100, 100), placed(50, 0, 150, 100)]
    # The first box said overlaps the left by 76 of 124; greedy gives it that one, which the second one needs.
    said = [placed(24, 0, 124, 100, score=0.9), placed(0, 0, 90, 100, score=0.8)]
    assert matched(box_metrics.iou(gold, said))[0].tolist() == [True, False]
    assert box_metrics.optimal(gold, said) == 2


def test_one_gold_box_is_found_once():
    gold, said = [placed(0, 0, 100, 100)], [placed(0, 0, 100, 100), placed(1, 0, 100, 100)]
    assert box_metrics.optimal(gold, said) == 1
    hits = matched(box_metrics.iou(gold, said))
    assert hits[0].tolist() == [True, False]


def test_f1_and_count_error_by_hand():
    golds = [to_json([placed(0, 0, 100, 100), placed(500, 500, 600, 600)]), "[]", to_json([placed(0, 0, 10, 10)])]
    answers = [to_json([placed(0, 0, 100, 95)]), to_json([placed(1, 1, 2, 2)]), None]
    found = box_metrics.metrics(golds, answers, ["a", "b", "c"])
    assert found["f1_iou50"].value == pytest.approx(2 * 1 / ((2 + 1) + (0 + 1) + (1 + 0)))
    assert found["count_error"].value == pytest.approx((1 + 1 + 1) / 3)
    assert "map_50" not in found  # no scores were given


def test_a_touch_below_half_is_no_find():
    gold = to_json([placed(0, 0, 100, 100)])
    assert box_metrics.exact(gold, to_json([placed(0, 0, 100, 50)]))
    assert not box_metrics.exact(gold, to_json([placed(0, 0, 100, 49)]))
    assert not box_metrics.exact(gold, "[]")
    assert box_metrics.exact("[]", "[]")


def test_average_precision_by_hand():
    golds = [to_json([placed(0, 0, 100, 100)]), to_json([placed(0, 0, 100, 100)])]
    answers = [
        to_json([placed(0, 0, 100, 100, score=0.9), placed(500, 500, 600, 600, score=0.8)]),
        to_json([placed(0, 0, 100, 100, score=0.7)]),
    ]
    found = box_metrics.metrics(golds, answers, ["a", "b"])["map_50"]
    # By falling score: hit (recall 1/2, precision 1), miss, hit (recall 1, precision 2/3).
    assert found.value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)  # of 101 recalls, 51 are at most 1/2
    assert found.low <= found.value <= found.high


def test_average_precision_is_the_mean_over_labels():
    gold = to_json([placed(0, 0, 100, 100), placed(300, 0, 400, 100, label="scratch")])
    answer = to_json([placed(0, 0, 100, 100, score=0.5)])
    assert box_metrics.metrics([gold], [answer], ["a"])["map_50"].value == pytest.approx(0.5)


def test_a_label_that_a_resample_lacks_does_not_count_against_it():
    """Each label stands in one group, a third group has none: whatever is drawn, all that there is was found."""
    golds = [to_json([placed(0, 0, 100, 100)]), to_json([placed(0, 0, 100, 100, label="scratch")]), "[]"]
    answers = [
        to_json([placed(0, 0, 100, 100, score=0.9)]),
        to_json([placed(0, 0, 100, 100, score=0.5, label="scratch")]),
        "[]",
    ]
    found = box_metrics.metrics(golds, answers, ["a", "b", "c"])["map_50"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    answers[1] = "[]"  # now what is drawn decides: a alone gives 1, b alone 0, both 1/2
    found = box_metrics.metrics(golds, answers, ["a", "b", "c"])["map_50"]
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
