"""The flow drawing: every count is in it once, in the right box, and what does not add up is said."""

import itertools
import re

import pytest
from report import bare

from finetune.report import answer_flow


def texts(found, text):
    return [box.number for box in found.boxes if box.text == text]


def drawn(outcomes, **changes):
    return answer_flow.flow(bare.facts(comparison=bare.comparison(outcomes=outcomes, **changes)))


OUTCOMES = {
    "tuned": {"correct": 88, "wrong": 12},
    "rival": {"correct": 70, "wrong": 20, "unparsed": 1, "refused": 2, "filtered": 3, "truncated": 0, "api_error": 4},
    "base": {"wrong": 99, "truncated": 1},
}


def test_the_source_by_hand():
    found = answer_flow.flow(bare.facts())
    assert texts(found, "rows read") == ["1,210"]
    assert texts(found, "set aside") == ["10"]
    assert texts(found, "kept") == ["1,200"]
    assert texts(found, "training") == ["1,000"]
    assert texts(found, "validation") == ["100"]
    assert found.alt.startswith("1,210 rows read, 10 set aside, 1,200 kept; test: 100 items in 100 groups; ")


def test_each_model_has_its_lane():
    found = drawn(OUTCOMES)
    assert [who for _, who in found.names] == ["tuned", "rival", "base"]
    assert texts(found, "asked") == ["100", "100", "100"]
    assert texts(found, "answered") == ["100", "90", "99"]
    assert texts(found, "right") == ["88", "70", "0"]
    assert texts(found, "wrong") == ["12", "20", "99"]
    assert texts(found, "no answer") == ["0", "10", "1"]
    assert found.wrong == ()


def test_failures_are_named_and_those_that_did_not_happen_are_not():
    found = drawn(OUTCOMES)
    assert [text for *_, text in found.notes] == [
        "not understood 1, refused 2, filtered 3, API error 4",
        "cut off 1",
    ]
    assert "rival: 100 asked, 70 right, 20 wrong, 10 without answer" in found.alt


@pytest.mark.parametrize("kind", answer_flow.FAILURES)
def test_every_kind_of_failure_has_a_word(kind):
    found = drawn({who: {"correct": 99, kind: 1} for who in ("tuned", "rival", "base")})
    assert {text for *_, text in found.notes} == {f"{answer_flow.SPOKEN[kind]} 1"}
    assert texts(found, "no answer") == ["1"] * 3


def test_answers_that_are_missing_are_said():
    found = drawn(OUTCOMES | {"rival": {"correct": 98}})
    assert found.wrong == ("rival: 98 answers for 100 test items",)


def test_where_parts_are_judged_images_are_counted():
    """Ten parts with ten images each: a model gives a hundred answers, and none is missing."""
    found = drawn(OUTCOMES, n=10, groups=10, estimand={"images": 100, "unit": "group"})
    assert found.wrong == ()
    assert drawn(OUTCOMES, n=10, groups=10).wrong[0] == "tuned model: 100 answers for 10 test items"


def test_folds_are_pooled_and_not_drawn_one_by_one():
    data = bare.summary(by_split={"fold_0_test": 600, "fold_1_test": 600})
    found = answer_flow.flow(bare.facts(summary=data, comparison=bare.comparison(folds=5, groups=44)))
    assert [box.number for box in found.boxes if box.kind == "test"] == ["100 test images in 44 groups, 5 folds pooled"]
    assert "M270 100H336" not in found.arrows
    assert texts(found, "training") == []


def test_nothing_is_drawn_outside_the_picture():
    found = drawn(OUTCOMES)
    assert found.height == 184 + 3 * answer_flow.LANE
    for box in found.boxes:
        assert box.x >= 0
        assert box.x + box.width <= answer_flow.WIDTH
        assert box.y >= 0
        assert box.y + answer_flow.BOX_HEIGHT <= found.height
    for arrow in found.arrows:
        assert re.fullmatch(r"M\d+(\.\d+)? \d+(\.\d+)?[HV]\d+(\.\d+)?", arrow)


def test_boxes_of_one_row_do_not_overlap():
    rows = {}
    for box in drawn(OUTCOMES).boxes:
        rows.setdefault(box.y, []).append((box.x, box.x + box.width))
    for spans in rows.values():
        ordered = sorted(spans)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ordered))


def test_open_questions_of_the_test_are_in_the_drawing(tmp_path):
    """All were asked, one fewer carries the verdict."""
    whole = bare.facts(tmp_path)
    less = bare.facts(
        tmp_path, comparison=bare.comparison(estimand={"images": len(whole.examples) - 1}, n=len(whole.examples) - 1)
    )
    (test,) = [box for box in answer_flow.flow(less).boxes if box.kind == "test"]
    assert test.number.endswith("; 1 open question beside the verdict")
    assert "open question" not in answer_flow.flow(whole).alt
