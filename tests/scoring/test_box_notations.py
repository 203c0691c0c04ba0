"""Every way to write boxes: hand-made replies with their source, refusals, and what comes back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import plugins
from finetune.errors import ConfigError
from finetune.families import _base as families
from finetune.scoring import box_notations as notations
from finetune.scoring import box_text
from finetune.scoring.box_notations import NOTATIONS, Form, Frame
from finetune.scoring.box_text import UNREADABLE, Placed

FRAME = Frame((400, 800), (392, 784))
"""An image 800 wide and 400 high, which the processor makes 784 by 392."""

REPLIES = {
    "json": '[{"label": "dent", "box": [100, 200, 300, 400]}]',
    "compact": "dent 10 20 30 40",
    "qwen2_vl": "<|object_ref_start|>dent<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>",
    "qwen2_5_vl": '```json\n[\n\t{"bbox_2d": [78, 78, 235, 157], "label": "dent"}\n]\n```',
    "qwen3_vl": '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "dent"}]\n```',
    "internvl": "<ref>dent</ref><box>[[100, 200, 300, 400]]</box>",
    "glm4v": "dent <|begin_of_box|>[[100,200,300,400]]<|end_of_box|>",
    "minicpmv": "<ref>dent</ref><box>100 200 300 400</box>",
    "box_2d": '```json\n[{"box_2d": [200, 100, 400, 300], "label": "dent"}]\n```',
    "paligemma": "<loc0205><loc0102><loc0409><loc0307> dent",
    # x as it is; y lies in the middle half of the square: .25 + .2 / 2 to .25 + .4 / 2
    "llava": "dent [0.1, 0.35, 0.3, 0.45]",
    "pixels": '[{"bbox": [78, 78, 235, 157], "label": "dent"}]',
}
SAME_CONTAINER = {("qwen2_5_vl", "qwen3_vl"), ("qwen3_vl", "qwen2_5_vl")}
"""One container and two spaces: the text alone cannot tell them where all numbers fit both."""


def form(name, frame=FRAME):
    return Form(NOTATIONS[name], frame)


def test_every_notation_has_a_reply_here_and_a_source():
    assert set(REPLIES) == set(NOTATIONS)
    assert all(notation.source for notation in NOTATIONS.values())


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_read_in_its_own_notation(name):
    (found,) = form(name).read(REPLIES[name])
    assert found.label == "dent"
    assert found.box == pytest.approx((100, 200, 300, 400), abs=5 if name == "compact" else 1.5)


@pytest.mark.parametrize("asked", REPLIES)
@pytest.mark.parametrize("said", REPLIES)
def test_a_reply_in_another_notation_is_refused(asked, said):
    if asked != said and (asked, said) not in SAME_CONTAINER:
        assert form(asked).read(REPLIES[said]) is None


def test_coordinates_outside_of_the_space_refuse_the_reply():
    assert form("qwen3_vl").read('[{"bbox_2d": [100, 200, 1300, 400], "label": "dent"}]') is None
    assert form("qwen2_5_vl").read('[{"bbox_2d": [100, 200, 785, 300], "label": "dent"}]') is None
    assert form("qwen2_5_vl").read('[{"bbox_2d": [100, 200, 784, 300], "label": "dent"}]')
    assert form("internvl").read("<ref>dent</ref><box>[[1, 2, 3, -4]]</box>") is None


@pytest.mark.parametrize("corners", [[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]])
def test_shares_are_not_thousandths(corners):
    assert form("json").read(json.dumps([{"label": "dent", "box": corners}])) is None


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("json", '[{"label": "dent", "box": [100, 200, 300, 400]}, {"label": "cut", "box": []}]'),
        ("json", '[{"label": "dent", "box": [100, 200, 300, 400]}, {"label": "cut", "box": [1, 2'),
        ("json", '[{"label": "dent", "box": [100, 200, 300, 400]}, {"label": "cut", "box": [5, 5, 5, 9]}]'),
        ("compact", "dent 10 20 30 40; cut 10 20"),
        ("qwen2_vl", REPLIES["qwen2_vl"] + "<|object_ref_start|>cut<|object_ref_end|><|box_start|>(1"),
        ("internvl", REPLIES["internvl"] + "<ref>cut</ref><box>[[1, 2"),
        ("glm4v", REPLIES["glm4v"] + " cut <|begin_of_box|>[[1"),
        ("minicpmv", REPLIES["minicpmv"] + "<ref>cut</ref><box></box>"),
        ("paligemma", REPLIES["paligemma"] + " ; <loc0001><loc0002> cut"),
        ("llava", REPLIES["llava"] + "; cut [0.1, 0.2"),
    ],
)
def test_a_box_that_is_not_whole_costs_that_box(name, reply):
    found = form(name).read(reply)
    assert [box.box == UNREADABLE for box in found] == [False, True]


@pytest.mark.parametrize("name", REPLIES)
def test_nothing_found_is_said_and_read(name):
    assert form(name).read(form(name).write([])) == []
    assert form(name).read("I see a dent at the left.") is None


PIXELS = st.tuples(st.integers(1, 9001), st.integers(1, 9001)).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(
            st.tuples(
                st.sampled_from(["dent", "long scratch"]), *(st.floats(0, 0.9),) * 2, *(st.floats(0.001, 0.1),) * 2
            ),
            min_size=1,
            max_size=4,
        ),
    )
)


@settings(max_examples=500, deadline=None)
@given(PIXELS)
def test_boxes_come_back_within_the_rounding_of_their_notation(drawn):
    (height, width), shares = drawn
    placed = [Placed(label, tuple(v * 1000 for v in (x, y, x + w, y + h))) for label, x, y, w, h in shares]
    for name, notation in NOTATIONS.items():
        if name == "llava" and min(height, width) < 0.1 * max(height, width):
            continue  # a hundredth of the square is then a large part of the image, or all of it
        frame = Frame((height, width), (height // 28 * 28 + 28, width // 28 * 28 + 28))
        found = form(name, frame).read(form(name, frame).write(placed))
        assert sorted(box.label for box in found) == sorted(box.label for box in placed), name
        steps = _steps(notation, frame)
        # Tags of several boxes under one label list them together.
        ordered = sorted(placed, key=lambda box: [b.label for b in placed].index(box.label))
        for one, other in zip(found, ordered if name in ("internvl", "glm4v") else placed, strict=True):
            gaps = [abs(a - b) for a, b in zip(one.box, other.box, strict=True)]
            assert all(gap <= 1000 / step * 2 for gap, step in zip(gaps, steps * 2, strict=True)), (name, gaps)


def _steps(notation, frame):
    if notation.scale == "pixels":
        return frame.seen[1], frame.seen[0]
    if notation.scale == "square":
        height, width = frame.seen
        return 100 * width / max(height, width), 100 * height / max(height, width)
    return notation.scale, notation.scale


def test_every_family_names_a_notation_or_none():
    given_names = {name: families.load(name).boxes for name in plugins.names("family")}
    assert {name for name in given_names.values() if name} <= set(NOTATIONS)
    assert given_names["qwen2_vl"] == "qwen2_vl"
    assert given_names["qwen2_5_vl"] == "qwen2_5_vl"
    assert given_names["qwen3_vl"] == given_names["qwen3_5"] == "qwen3_vl"
    assert given_names["gemma4"] == "box_2d"
    assert given_names["gemma3"] is given_names["smolvlm"] is given_names["molmo2"] is None


def test_the_form_of_a_row_is_read_back():
    assert form("qwen2_5_vl").spelled() == "qwen2_5_vl+400x800+392x784"
    assert notations.spelled("qwen2_5_vl+400x800+392x784") == form("qwen2_5_vl")
    assert form("json").spelled() == "json"
    with pytest.raises(ConfigError, match=r"task\.options\.boxes: got 'yolo', expected native or one of json, compact"):
        notations.spelled("yolo")


def test_an_unreadable_box_is_a_false_alarm():
    from finetune.scoring.box_metrics import metrics

    said = box_text.to_json([Placed("dent", (10, 20, 300, 400)), Placed("", UNREADABLE)])
    scores = metrics(['[{"label": "dent", "box": [10, 20, 300, 400]}]'], [said], ["a"])
    assert scores["f1_iou50"].value == pytest.approx(2 / 3)
    assert scores["unreadable_boxes"].value == pytest.approx(1 / 2)
