import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.errors import DataError
from finetune.example import Box
from finetune.scoring import box_text
from finetune.scoring.box_text import Placed

DENT = Placed("dent", (10, 20, 300, 400))
SHARES = {"label": "dent", "box": [0.1, 0.2, 0.3, 0.4]}
CUT = Placed("cut", (0, 500, 1000, 1000))
PLACED = st.tuples(
    st.sampled_from(["dent", "long scratch"]), *(st.integers(0, 900) for _ in range(2)), *(st.integers(1, 100),) * 2
).map(lambda t: Placed(t[0], (t[1], t[2], t[1] + t[3], t[2] + t[4])))


def test_pixels_become_thousandths():
    # (height, width) = (100, 200): x by 5, y by 10.
    assert box_text.canonical([Box(10, 20, 30, 40, "dent")], (100, 200)) == [Placed("dent", (50, 200, 150, 400))]


def test_a_thin_box_does_not_vanish():
    (found,) = box_text.canonical([Box(0, 0, 4000, 0.5, "scratch")], (4000, 4000))
    assert found.box == (0, 0, 1000, 1)
    (edge,) = box_text.canonical([Box(3999.9, 3999.9, 4000, 4000, "dot")], (4000, 4000))
    assert edge.box == (999, 999, 1000, 1000)


def test_the_canonical_text_is_in_reading_order():
    assert box_text.to_json([CUT, DENT]) == (
        '[{"label": "dent", "box": [10, 20, 300, 400]}, {"label": "cut", "box": [0, 500, 1000, 1000]}]'
    )
    assert box_text.to_json([]) == "[]"


@given(st.lists(PLACED, max_size=5))
def test_every_form_whose_space_is_known_comes_back(found):
    text = box_text.to_json(found)
    assert box_text.to_json(box_text.from_json(text)) == text
    for write in (box_text.to_json, box_text.write_thousandths, *([box_text.write_internvl] if found else [])):
        assert box_text.to_json(box_text.read(write(found))) == text


@given(st.lists(PLACED, min_size=1, max_size=5))
def test_coarser_forms_come_back_nearly(found):
    """PaliGemma's 1024 cells, and pixels of an image of at least 1,000 a side."""
    for back in (
        box_text.read(box_text.write_paligemma(found)),
        box_text.read_pixels(box_text.write_pixels(found, (1008, 1400)), (1008, 1400)),
    ):
        for one, other in zip(found, back, strict=True):
            assert one.label == other.label
            assert one.box == pytest.approx(other.box, abs=1.5)


def test_forms_look_as_the_families_write_them():
    assert box_text.write_thousandths([DENT]) == '[{"bbox_2d": [10, 20, 300, 400], "label": "dent"}]'
    assert box_text.write_pixels([DENT], (500, 2000)) == '[{"bbox_2d": [20, 10, 600, 200], "label": "dent"}]'
    assert box_text.write_internvl([DENT]) == "<ref>dent</ref><box>[[10, 20, 300, 400]]</box>"
    assert box_text.write_paligemma([Placed("cat", (0, 0, 500, 1000))]) == "<loc0000><loc0000><loc1023><loc0512> cat"


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
    assert box_text.read(json.dumps([{"label": "dent", "box": [1, 2, 3, 4]}, row])) is None
    if row == SHARES:  # in our own text: a box in the corner of a large image
        assert box_text.from_json(json.dumps([row])) == [Placed("dent", (0.1, 0.2, 0.3, 0.4))]
        return
    with pytest.raises(DataError, match=r"cannot be read .* expected .*label.*box"):
        box_text.from_json(json.dumps([row]))


def test_gemini_has_y_first():
    assert box_text.read('[{"box_2d": [20, 10, 400, 300], "label": "dent"}]') == [DENT]


def test_a_single_object_and_a_wrapped_list_are_read():
    one = {"label": "dent", "box": [10, 20, 300, 400]}
    assert box_text.read(json.dumps(one)) == box_text.read(json.dumps({"objects": [one]})) == [DENT]


def test_scores_are_kept():
    assert box_text.read('[{"label": "dent", "box": [10, 20, 300, 400], "confidence": 0.5}]')[0].score == 0.5


def test_pixels_that_are_none():
    with pytest.raises(DataError, match="bbox_2d in pixels"):
        box_text.read_pixels("none", (10, 10))
