import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune import boxes
from finetune.boxes import Placed
from finetune.errors import DataError
from finetune.example import Box

DENT = Placed("dent", (10, 20, 300, 400))
SHARES = {"label": "dent", "box": [0.1, 0.2, 0.3, 0.4]}
CUT = Placed("cut", (0, 500, 1000, 1000))
PLACED = st.tuples(
    st.sampled_from(["dent", "long scratch"]), *(st.integers(0, 900) for _ in range(2)), *(st.integers(1, 100),) * 2
).map(lambda t: Placed(t[0], (t[1], t[2], t[1] + t[3], t[2] + t[4])))


def test_pixels_become_thousandths():
    # (height, width) = (100, 200): x by 5, y by 10.
    assert boxes.canonical([Box(10, 20, 30, 40, "dent")], (100, 200)) == [Placed("dent", (50, 200, 150, 400))]


def test_a_thin_box_does_not_vanish():
    (found,) = boxes.canonical([Box(0, 0, 4000, 0.5, "scratch")], (4000, 4000))
    assert found.box == (0, 0, 1000, 1)
    (edge,) = boxes.canonical([Box(3999.9, 3999.9, 4000, 4000, "dot")], (4000, 4000))
    assert edge.box == (999, 999, 1000, 1000)


def test_the_canonical_text_is_in_reading_order():
    assert boxes.to_json([CUT, DENT]) == (
        '[{"label": "dent", "box": [10, 20, 300, 400]}, {"label": "cut", "box": [0, 500, 1000, 1000]}]'
    )
    assert boxes.to_json([]) == "[]"


@given(st.lists(PLACED, max_size=5))
def test_every_form_whose_space_is_known_comes_back(found):
    text = boxes.to_json(found)
    assert boxes.to_json(boxes.from_json(text)) == text
    for write in (boxes.to_json, boxes.write_thousandths, *([boxes.write_internvl] if found else [])):
        assert boxes.to_json(boxes.read(write(found))) == text


@given(st.lists(PLACED, min_size=1, max_size=5))
def test_coarser_forms_come_back_nearly(found):
    """PaliGemma's 1024 cells, and pixels of an image of at least 1,000 a side."""
    for back in (
        boxes.read(boxes.write_paligemma(found)),
        boxes.read_pixels(boxes.write_pixels(found, (1008, 1400)), (1008, 1400)),
    ):
        for one, other in zip(found, back, strict=True):
            assert one.label == other.label
            assert one.box == pytest.approx(other.box, abs=1.5)


def test_forms_look_as_the_families_write_them():
    assert boxes.write_thousandths([DENT]) == '[{"bbox_2d": [10, 20, 300, 400], "label": "dent"}]'
    assert boxes.write_pixels([DENT], (500, 2000)) == '[{"bbox_2d": [20, 10, 600, 200], "label": "dent"}]'
    assert boxes.write_internvl([DENT]) == "<ref>dent</ref><box>[[10, 20, 300, 400]]</box>"
    assert boxes.write_paligemma([Placed("cat", (0, 0, 500, 1000))]) == "<loc0000><loc0000><loc1023><loc0512> cat"


@pytest.mark.parametrize(
    "row",
    [
        {"label": "dent", "box": [300, 20, 10, 400]},
        {"label": "dent", "box": [0, 0, 1001, 10]},
        SHARES,
        {"label": "dent", "box": [1, 2, 3]},
        {"label": "dent", "box": "1 2 3 4"},
        {"label": "dent", "box": [1, 2, None, 4]},
        {"label": 3, "box": [1, 2, 3, 4]},
        {"label": "dent"},
        {"box": [1, 2, 3, 4]},
        [1, 2, 3, 4],
    ],
)
def test_one_box_that_is_none_makes_the_reply_unreadable(row):
    assert boxes.read(json.dumps([{"label": "dent", "box": [1, 2, 3, 4]}, row])) is None
    if row == SHARES:  # in our own text: a box in the corner of a large image
        assert boxes.from_json(json.dumps([row])) == [Placed("dent", (0.1, 0.2, 0.3, 0.4))]
        return
    with pytest.raises(DataError, match=r"cannot be read .* expected .*label.*box"):
        boxes.from_json(json.dumps([row]))


def test_gemini_has_y_first():
    assert boxes.read('[{"box_2d": [20, 10, 400, 300], "label": "dent"}]') == [DENT]


def test_a_single_object_and_a_wrapped_list_are_read():
    one = {"label": "dent", "box": [10, 20, 300, 400]}
    assert boxes.read(json.dumps(one)) == boxes.read(json.dumps({"objects": [one]})) == [DENT]


def test_scores_are_kept():
    assert boxes.read('[{"label": "dent", "box": [10, 20, 300, 400], "confidence": 0.5}]')[0].score == 0.5


def test_pixels_that_are_none():
    with pytest.raises(DataError, match="bbox_2d in pixels"):
        boxes.read_pixels("none", (10, 10))
