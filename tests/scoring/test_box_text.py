import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.errors import DataError
from finetune.example import Box
from finetune.scoring import box_text
from finetune.scoring.box_text import Placed

DENT = Placed("dent", (10, 20, 300, 400))
CUT = Placed("cut", (0, 500, 1000, 1000))
PLACED = st.tuples(
    st.sampled_from(["dent", "long scratch"]), *(st.integers(0, 900) for _ in range(2)), *(st.integers(1, 100),) * 2
).map(lambda t: Placed(t[0], (t[1], t[2], t[1] + t[3], t[2] + t[4])))


def test_pixels_become_thousandths_without_rounding():
    # (height, width) = (3000, 4000)
    found = box_text.in_thousandths([Box(1, 2, 33, 44, "dent")], (3000, 4000))
    assert found == [Placed("dent", (0.25, 2 / 3, 8.25, 44 / 3))]
    (read,) = box_text.from_json(box_text.to_json(found))
    pixels = [v * side / 1000 for v, side in zip(read.box, (4000, 3000) * 2, strict=True)]
    assert pixels == pytest.approx([1, 2, 33, 44], abs=0.02)


def test_the_canonical_text_is_in_reading_order():
    assert box_text.to_json([CUT, DENT]) == (
        '[{"label": "dent", "box": [10, 20, 300, 400]}, {"label": "cut", "box": [0, 500, 1000, 1000]}]'
    )
    assert box_text.to_json([]) == "[]"


@given(st.lists(PLACED, max_size=5))
def test_the_canonical_text_comes_back(found):
    text = box_text.to_json(found)
    assert box_text.to_json(box_text.from_json(text)) == text


@pytest.mark.parametrize(
    "row",
    [
        {"label": "dent", "box": [300, 20, 10, 400]},
        {"label": "dent", "box": [0, 0, 1001, 10]},
        {"label": "dent", "box": [1, 2, 3]},
        {"label": "dent", "box": "1 2 3 4"},
        {"label": "dent", "box": [1, 2, None, 4]},
        {"label": 3, "box": [1, 2, 3, 4]},
        {"label": "dent"},
        {"box": [1, 2, 3, 4]},
        [1, 2, 3, 4],
    ],
)
def test_a_canonical_text_is_strict(row):
    with pytest.raises(DataError, match=r"cannot be read .* expected .*label.*box"):
        box_text.from_json(json.dumps([row]))


def test_a_box_in_the_corner_of_a_large_image_is_read():
    assert box_text.from_json('[{"label": "dent", "box": [0.1, 0.2, 0.3, 0.4]}]') == [
        Placed("dent", (0.1, 0.2, 0.3, 0.4))
    ]
