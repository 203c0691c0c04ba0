"""Scores of open tasks by the second code, against figures worked out by hand; and what the first code had wrong."""

import json
import math

import pytest

from finetune.config.schema import TaskConfig
from finetune.scoring import box_metrics as first_boxes
from finetune.scoring import fields as first_fields
from finetune.scoring import numbers as first_number
from oracle import (
    boxes,
    numbers,
    of_answer,
    of_classify,
    of_describe,
    of_detect,
    of_extract,
    of_tags,
    ratios,
    texts,
)

GRADES = ("none", "mild", "moderate", "severe")
ORDERED = TaskConfig(labels=GRADES, options={"ordered": True})


def values(scores):
    return {name: pytest.approx(score["value"]) for name, score in scores.items()}


def box(*corners, label="dent", **more):
    return {"label": label, "box": list(corners)} | more


def test_a_ratio_of_sums():
    found = ratios.ratio([(2, 2), (0, 1), (1, 1)], ["a", "b", "c"])
    assert found["value"] == pytest.approx(3 / 4)
    assert 0 <= found["low"] < 3 / 4 < found["high"] <= 1
    assert ratios.ratio([(0, 0)], ["a"], top=2.0) == {"value": 0.0, "low": 0.0, "high": 2.0}


def test_the_interval_of_a_ratio_is_that_of_all_resamples():
    """Two groups, 1 of 1 and 0 of 3: a resample is 1, 1/4 or 0, with chances 1/4, 1/2 and 1/4."""
    found = ratios.ratio([(1, 1), (0, 3)], ["a", "b"])
    assert found == {"value": pytest.approx(1 / 4), "low": 0.0, "high": 1.0}


def test_where_every_resample_says_the_same_wilson_stands_in():
    """8 groups all right: 8 / (8 + z^2); all 3 steps of 3 off: the same, three times as large."""
    least = 8 / (8 + 1.959964**2)
    assert ratios.mean([1.0] * 8, list("abcdefgh"))["low"] == pytest.approx(least, abs=1e-6)
    assert ratios.mean([3.0] * 8, list("abcdefgh"), top=3.0)["low"] == pytest.approx(3 * least, abs=1e-6)
    assert ratios.mean([1.0] * 8, ["one"] * 8)["low"] == pytest.approx(1 / (1 + 1.959964**2), abs=1e-6)


def test_tags():
    """TP 1 + 1, wanted 2 + 1, said 1 + 2: 4 of 6. Shares 1/2, 1/2, 1 and, said nothing, 0. One whole set of four."""
    golds, answers = ['["a", "b"]', '["c"]', "[]", "[]"], ['["a"]', '["a", "c"]', "[]", None]
    found = values(of_tags.metrics(golds, answers, list("1234")))
    assert found == {"tag_f1": 4 / 6, "jaccard": 2 / 4, "exact_set": 1 / 4}
    assert of_tags.right(TaskConfig(), '["a", "b"]', '["b", "a"]')
    assert not of_tags.right(TaskConfig(), '["a", "b"]', '["a"]')


def test_boxes():
    """One of two found; one invented; one missed without an answer: 2 / (3 + 1 + 1), and each count is off by one."""
    golds = [[box(0, 0, 100, 100), box(500, 500, 600, 600)], [], [box(0, 0, 10, 10)]]
    answers = [[box(0, 0, 100, 95)], [box(1, 1, 2, 2)], None]
    columns = [json.dumps(own) for own in golds], [json.dumps(own) if own is not None else None for own in answers]
    assert values(of_detect.metrics(*columns, list("123"))) == {
        "f1_iou50": 2 / 5,
        "count_error": 1.0,
        "unreadable_boxes": 0.0,
    }
    labelled = json.dumps([box(0, 0, 100, 100, label="pit")])
    assert not boxes.exact(columns[0][0], columns[1][0])
    assert not boxes.exact(labelled, json.dumps([box(0, 0, 100, 100)]))
    assert boxes.exact(labelled, json.dumps([box(0, 0, 100, 50, label="pit")]))
    assert not boxes.exact(labelled, json.dumps([box(0, 0, 100, 49, label="pit")]))


def test_a_box_makes_room_for_another():
    """The first said overlaps the left gold box by 76 of 124, the right by 74 of 126; the second the left alone."""
    gold = boxes.read(json.dumps([box(0, 0, 100, 100), box(50, 0, 150, 100)]))
    said = boxes.read(json.dumps([box(24, 0, 124, 100, score=0.9), box(0, 0, 90, 100, score=0.8)]))
    assert (boxes.found(gold, said), boxes.found(gold, said[::-1])) == (2, 2)
    assert boxes.hits(gold, said) == [True, False]
    assert boxes.hits(gold, said[::-1]) == [False, True]


def test_average_precision():
    """By score: hit (recall 1/2, precision 1), miss, hit (recall 1, precision 2/3); of a second label nothing.

    Of 101 recalls, 51 are at most 1/2.
    """
    one = [box(0, 0, 100, 100)]
    golds = [json.dumps(one), json.dumps(one)]
    answers = [
        json.dumps([box(0, 0, 100, 100, score=0.9), box(500, 500, 600, 600, score=0.8)]),
        json.dumps([box(0, 0, 100, 100, score=0.7)]),
    ]
    assert of_detect.metrics(golds, answers, ["a", "b"])["map_50"]["value"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    golds[0] = json.dumps([*one, box(0, 0, 9, 9, label="pit")])
    assert of_detect.metrics(golds, answers, ["a", "b"])["map_50"]["value"] == pytest.approx((51 + 50 * 2 / 3) / 202)


def test_average_precision_of_resamples_without_a_label():
    """All is found, each label in a group of its own, and one group has none: every resample says 1, or nothing."""
    texts = [json.dumps([box(0, 0, 100, 100, score=0.9)]), json.dumps([box(0, 0, 9, 9, label="pit", score=0.5)]), "[]"]
    found = of_detect.metrics(texts, texts, ["a", "b", "c"])["map_50"]
    assert found == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_tiles_put_together():
    """Two tiles of 10 x 10 that share 4 columns: the box on the seam once, the larger first; the lone one stays."""
    left = json.dumps([box(600, 0, 1000, 500), box(0, 0, 100, 100)])
    right = json.dumps([box(0, 0, 600, 500, score=0.9), box(0, 0, 600, 500, label="pit")])
    found = json.loads(boxes.joined([left, right, None], [(0, 0, 10, 10), (6, 0, 16, 10), (0, 6, 10, 16)], (16, 16)))
    assert found == [
        box(0, 0, 62.5, 62.5),
        box(375, 0, 750, 312.5, score=0.9),
        box(375, 0, 750, 312.5, label="pit"),
    ]


@pytest.mark.parametrize(("end", "count"), [(600, 1), (601, 2)])
def test_a_find_in_two_tiles_shares_half_of_the_smaller_one(end, count):
    """Columns 6 to 10 and 8 to 12 of one height: 2 of 4 are half; a hundredth more is not."""
    answers = [json.dumps([box(600, 0, 1000, 500)]), json.dumps([box(200 + (end - 600), 0, end, 500)])]
    assert len(json.loads(boxes.joined(answers, [(0, 0, 10, 10), (6, 0, 16, 10)], (10, 16)))) == count


def test_fields():
    """One of four gold fields; twice that over 2 + 3 + 2 + 0 fields; no whole object."""
    golds = [json.dumps({"lot": "A", "size": 3}), json.dumps({"lot": "B", "size": None})]
    answers = [json.dumps({"lot": "a", "size": 4, "more": 1}), None]
    found = values(of_extract.metrics(golds, answers, ["1", "2"]))
    assert found == {"field_accuracy": 1 / 4, "field_f1": 2 / 7, "whole_object": 0.0}


def test_texts():
    """Right upper lobe, upper right: 2 * 2 tokens in common of 3 + 2. The texts are the same once of three."""
    assert texts.normal("The Right Lung's two X-rays, 1.5 cm.") == "right lungs 2 x rays 1.5 cm"
    assert texts.normal("No.5 of x,2 3.") == "no 5 of x 2 3"
    golds, answers = ["right upper lobe", "a liver", "brain"], ["upper right", "Liver.", None]
    found = {"exact_match": 1 / 3, "token_f1": (4 / 5 + 1) / 3}
    assert values(texts.scores(golds, answers, list("abc"))) == found
    assert not texts.same("A", "the")
    assert texts.same("A", " a")
    assert values(of_describe.metrics(golds, answers, list("abc")))["token_f1"] == found["token_f1"]
    mixed = of_answer.metrics(["yes", "no", *golds], ["yes", None, *answers], list("12abc"))
    assert values(mixed) == {"closed_accuracy": 1 / 2} | found


def test_rouge_of_long_texts():
    """The library's own: 5 of 6 and of 5 words in order, F1 10/11; no answer shares nothing."""
    columns = ["the cat sat on the mat", "a dog"], ["the cat on the mat", None], ["a", "b"]
    assert values(of_describe.metrics(*columns))["rouge_l"] == 10 / 11 / 2


def test_numbers_within_a_tolerance():
    assert numbers.near("10 mm", "1.05 cm", 0.5, 0.0, "mm")
    assert not numbers.near("10 mm", "10.6", 0.5, 0.0, "mm")
    assert numbers.near("200", "about 209", 0.0, 0.05, "")
    assert not numbers.near("200", "more than 209", 0.0, 0.05, "")
    assert numbers.near("0.3", "0.4", 0.1, 0.0, "")
    assert numbers.read("3 in.", "mm") == pytest.approx(76.2)
    assert numbers.read("3 in total", "mm") is None
    task = TaskConfig(kind="answer", options={"absolute": 0.5, "unit": "mm"})
    assert of_answer.right(task, "10 mm", "0.98 cm")
    assert not of_answer.right(TaskConfig(kind="answer"), "10 mm", "0.98 cm")


def test_ordered_labels():
    """Steps 0, 2, 1 and, without an answer, the farthest label: 2."""
    golds, answers = ["none", "mild", "severe", "mild"], ["none", "severe", "moderate", None]
    found = values(of_classify.extras(ORDERED, golds, answers, list("abcd")))
    # Columns 0, 3, 2, 3, rows 0, 1, 3, 1: squares 0 + 4 + 1 + 4; of all pairs (0+9+4+9) + 2 (1+4+1+4) + (9+0+1+0).
    kappa = 1 - (9 / 4) / ((22 + 20 + 10) / 16)
    assert found == {"weighted_kappa": kappa, "mean_steps_off": 5 / 4, "within_one_step": 2 / 4}
    assert of_classify.extras(TaskConfig(labels=GRADES), golds, answers, list("abcd")) == {}


def test_the_interval_of_kappa_leaves_out_one_group_at_a_time():
    """Rows 0, 1, 2, columns 0, 1, 1: one square of 9 over all pairs, 1 - 3/9; without each, 1 - 2/2, 1 - 2/6, 1."""
    whole, left = 2 / 3, [0, 2 / 3, 1]
    mean = sum(left) / 3
    half = 4.302652729911275 * math.sqrt(sum((one - mean) ** 2 for one in left) * 2 / 3)
    found = of_classify.kappa([0, 1, 2], [0, 1, 1], list("abc"), 2)
    assert found == {
        "value": pytest.approx(whole),
        "low": pytest.approx(max(-1.0, whole - half)),
        "high": pytest.approx(min(1.0, whole + half)),
    }


def test_kappa_without_an_error_is_not_certain():
    """Two groups, sure of w = 2 / (2 + z^2): a label moves 2 steps with 1 - w."""
    sure = 2 / (2 + 1.959964**2)
    lost = 1 - sure
    expected = [(0, 0, sure), (0, 2, lost), (2, 2, sure), (2, 0, lost)]
    observed = sum(4 * share for row, column, share in expected if row != column) / 2
    found = of_classify.kappa([0, 2], [0, 2], ["a", "b"], 2)
    assert (found["value"], found["high"]) == (1.0, 1.0)
    assert found["low"] == pytest.approx(1 - observed / 2, abs=1e-6)
    assert of_classify.kappa([1, 1], [1, 1], ["a", "b"], 2) == {"value": 0.0, "low": -1.0, "high": 1.0}


@pytest.mark.parametrize("text", ["1,2345", "1234,567", "12,34,567", "5 .5", '5".5', "5 and 1,2345"])
def test_the_first_code_reads_no_number_where_there_is_none_or_two(text):
    """A comma that parts no thousands is no number, and a point after a blank begins a second one."""
    assert first_number.read(text) is None
    assert first_number.read("1,234 mm.", "mm") == 1234


def test_the_first_code_tells_long_numbers_apart():
    """Serial numbers of 17 digits are one float; 10^400 is none."""
    assert not first_fields.same(12345678901234567, 12345678901234568)
    assert not first_fields.same("12345678901234567", 12345678901234568)
    assert not first_fields.same(10**400, 1)
    assert not first_fields.same("12", "1_2")
    assert first_fields.same(0.1, "0.10")
    assert first_fields.metrics(["{}"], [None], ["a"])["whole_object"].value == 0.0


def test_the_first_code_finds_a_box_that_shares_exactly_half():
    """2.4 of 4.8, which is less than half in floats."""
    gold, said = (json.dumps([box(*corners)]) for corners in ((0.1, 4, 0.4, 20), (0.1, 4, 0.25, 20)))
    assert first_boxes.exact(gold, said)
    assert boxes.exact(gold, said)
    assert boxes.hits(boxes.read(gold), boxes.read(said)) == [True]
