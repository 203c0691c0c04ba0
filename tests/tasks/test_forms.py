"""Which notation a model and a provider are asked for boxes in."""

from dataclasses import replace

import pytest

from finetune.cli.predict import _in_pixels
from finetune.config.schema import Config, ModelConfig, TaskConfig
from finetune.example import Example, ImageRef
from finetune.scoring.box_notations import NOTATIONS, Form, Frame
from finetune.scoring.box_text import UNREADABLE, Placed, to_json
from finetune.tasks import Judge, _forms, detect

TASK = TaskConfig(kind="detect", labels=("dent",))
EXAMPLE = Example("a", (ImageRef("a.png"),), '[{"label": "dent", "box": [100, 200, 300, 400]}]', "a", size=(400, 800))


@pytest.mark.parametrize(
    ("family", "model", "asked", "expected"),
    [
        ("qwen3_vl", "other", {}, "qwen3_vl"),
        ("qwen3_vl", "other", {"boxes": "json"}, "json"),
        ("smolvlm", "other", {}, "json"),
        ("idefics3", "embedded", {}, "compact"),
        ("paligemma", "other", {"boxes": "native"}, "paligemma"),
    ],
)
def test_native_is_that_of_the_family_or_ours(family, model, asked, expected):
    config = Config(model=ModelConfig(family=family, id=model), task=replace(TASK, options=asked))
    assert _forms.settled(config).options["boxes"] == expected


def test_another_task_is_left_as_it_is():
    config = Config(task=TaskConfig(kind="classify"))
    assert _forms.settled(config) is config.task
    assert _forms.of_provider(config.task, "gemini-3") is None


@pytest.mark.parametrize(
    ("model", "side", "text"),
    [
        ("gemini-3-pro", None, '[{"box_2d": [200, 100, 400, 300], "label": "dent"}]'),
        ("claude-x", 400, '[{"bbox": [40, 40, 120, 80], "label": "dent"}]'),
        ("gpt-5", None, '[{"bbox": [80, 80, 240, 160], "label": "dent"}]'),
        ("house-model", None, '[{"label": "dent", "box": [100, 200, 300, 400]}]'),
    ],
)
def test_a_provider_is_asked_read_and_recorded_in_its_own_form(model, side, text):
    form = _forms.of_provider(TASK, model, side)
    assert _forms.written([EXAMPLE], form)[0].target == text
    judge = Judge(TASK, ("dent",), form)
    assert judge.parse(text, EXAMPLE) == EXAMPLE.target
    again = _forms.of_parser(TASK, judge.parser(EXAMPLE))
    assert again(EXAMPLE).spelled() == form(EXAMPLE).spelled()
    assert again(EXAMPLE).read(text) == form(EXAMPLE).read(text)


def test_the_question_of_a_run_is_reworded_for_a_provider():
    theirs = Form(NOTATIONS["box_2d"])
    for name in ("qwen2_vl", "paligemma", "json"):
        task = replace(TASK, options={"boxes": name})
        question = detect.messages(task, (), EXAMPLE)[0].text
        assert _forms.reworded(question, theirs, TASK.labels) == f"Find every dent. {NOTATIONS['box_2d'].sentence}"


def test_predict_gives_pixels_of_the_upright_image():
    answer = to_json([Placed("dent", (100, 200, 300, 400), 0.5), Placed("", UNREADABLE)])
    # (height, width) = (400, 800)
    assert _in_pixels(answer, (400, 800)) == [{"label": "dent", "box": [80.0, 80.0, 240.0, 160.0], "score": 0.5}]
    assert _in_pixels(None, (400, 800)) is None


def test_an_option_that_is_no_notation_and_a_label_that_cannot_be_written_are_named():
    (problem,) = detect.problems(replace(TASK, options={"boxes": "yolo"}))
    assert problem.startswith("task.options.boxes: got 'yolo', expected native or one of json, compact")
    (problem,) = detect.problems(replace(TASK, labels=("a <box> b",)))
    assert problem.startswith("task.labels: 'a <box> b' holds")


def test_the_frame_is_what_the_processor_makes():
    assert Frame((400, 800), (392, 784)).seen == (392, 784)
