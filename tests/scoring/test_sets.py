import json

import pytest

from finetune.scoring import fields, tags
from finetune.scoring import labels as closed
from finetune.scoring import labels as ordered
from finetune.stats import wilson

GRADES = ("none", "mild", "moderate", "severe")


def test_accuracy_counts_silence_as_wrong():
    found = closed.accuracy(["a", "b", "a", "b"], ["a", "b", None, "a"], list("1234"))
    assert found.value == 0.5
    assert found.low == pytest.approx(wilson(2, 4).low)


def test_ordered_labels_by_hand():
    golds, answers = ["none", "mild", "severe", "mild"], ["none", "severe", "moderate", None]
    found = ordered.metrics(golds, answers, list("abcd"), GRADES)
    # Steps 0, 2, 1 and, without an answer, the farthest label: 2.
    assert found["mean_steps_off"].value == pytest.approx(5 / 4)
    assert found["within_one_step"].value == pytest.approx(2 / 4)


def test_weighted_kappa_of_the_textbook_kind():
    """Quadratic kappa from its definition: 1 - sum(w * observed) / sum(w * expected)."""
    golds = ["none"] * 3 + ["mild"] * 3 + ["severe"] * 2
    answers = ["none", "none", "mild", "mild", "moderate", "mild", "severe", "moderate"]
    place = {label: i for i, label in enumerate(GRADES)}
    observed = sum((place[g] - place[a]) ** 2 for g, a in zip(golds, answers, strict=True)) / 8
    expected = sum((place[g] - place[a]) ** 2 for g in golds for a in answers) / 64
    found = ordered.metrics(golds, answers, [str(i) for i in range(8)], GRADES)["weighted_kappa"]
    assert found.value == pytest.approx(1 - observed / expected)


def test_tags_by_hand():
    golds = ['["a", "b"]', '["c"]', "[]"]
    answers = ['["a"]', '["a", "c"]', "[]"]
    found = tags.metrics(golds, answers, ["1", "2", "3"])
    # TP 1 + 1, said 1 + 2, wanted 2 + 1: 2 * 2 / (3 + 3).
    assert found["tag_f1"].value == pytest.approx(4 / 6)
    assert found["jaccard"].value == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert found["exact_set"].value == pytest.approx(1 / 3)


def test_silence_is_not_an_empty_set():
    found = tags.metrics(["[]"], [None], ["1"])
    assert (found["jaccard"].value, found["exact_set"].value) == (0.0, 0.0)


def test_each_tag_has_its_two_sides():
    golds, answers = ['["a"]', '["a", "b"]', "[]", '["b"]'], ['["a"]', '["b"]', '["a"]', None]
    found = tags.per_tag(golds, answers, list("1234"), ("a", "b", "z"))
    assert found["a"]["sensitivity"].value == pytest.approx(1 / 2)
    assert found["a"]["specificity"].value == pytest.approx(0 / 2)
    assert found["b"]["sensitivity"].value == pytest.approx(1 / 2)
    assert found["b"]["specificity"].value == pytest.approx(2 / 2)
    assert found["z"]["sensitivity"] is None
    assert found["z"]["specificity"].value == pytest.approx(3 / 4)  # the item without an answer decides nothing


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("A-17", "a 17", True),
        ("12", 12, True),
        (12, "12.0", True),
        ("007", "7", False),
        (1, True, False),
        (True, True, True),
        (None, None, True),
        (None, "", False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], False),
        ({"x": 1}, {"x": "1"}, True),
        ({"x": 1}, {"y": 1}, False),
        ("nan", "nan", True),
    ],
)
def test_values_of_a_field(gold, answer, equal):
    assert fields.same(gold, answer) is equal


def test_fields_by_hand():
    golds = [json.dumps({"lot": "A", "size": 3}), json.dumps({"lot": "B", "size": None})]
    answers = [json.dumps({"lot": "a", "size": 4, "more": 1}), None]
    found = fields.metrics(golds, answers, ["1", "2"])
    assert found["field_accuracy"].value == pytest.approx(1 / 4)
    assert found["field_f1"].value == pytest.approx(2 * 1 / (2 + 3 + 2 + 0))
    assert found["whole_object"].value == 0.0
    each = fields.per_field(golds, answers, ["1", "2"])
    assert (each["lot"].value, each["size"].value) == (0.5, 0.0)
