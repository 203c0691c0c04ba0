"""The tasks whose answers are written, not chosen: tags, extract, detect, describe; and what every task must have."""

import inspect

import pytest

from finetune import plugins
from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Box, Example, ImageRef, Message
from finetune.scoring import json_replies
from finetune.tasks import classify, describe, detect, extract, tags

TAGS = TaskConfig(kind="tags", labels=("scratch", "dent"), synonyms={"dent": ("bump",)})
FIELDS = TaskConfig(kind="extract", options={"fields": ["lot", "date"]})
BOXES = TaskConfig(kind="detect", labels=("short", "open"))
SEAM = (
    "problems",
    "labels",
    "admit",
    "complete",
    "messages",
    "choices",
    "vocabulary",
    "decides",
    "parse",
    "outcome",
    "judge",
)


def example(target="", boxes=None, question=None):
    messages = (Message("user", question),) if question else ()
    return Example("x#1", (ImageRef("x.png"),), target, "x", messages=messages, boxes=boxes)


@pytest.mark.parametrize("kind", plugins.names("task"))
def test_every_task_has_the_whole_seam(kind):
    module = plugins.load("task", kind)
    assert [name for name in SEAM if not inspect.isfunction(vars(module).get(name))] == []
    assert module.PARSER.startswith(f"{kind}/")
    assert module.judge(TaskConfig(kind=kind))("no words", None, "x") == "unparsed"
    assert module.judge(TaskConfig(kind=kind))("I'm sorry, I can't help with that.", None, "x") == "refused"
    assert ("METRICS" in vars(module)) == (kind != "classify") == ("metrics" in vars(module))


@pytest.mark.parametrize("kind", plugins.names("task"))
def test_options_are_strict(kind):
    found = plugins.load("task", kind).problems(TaskConfig(kind=kind, labels=("a", "b"), options={"colour": "red"}))
    assert any("task.options.colour: there is no such key" in line for line in found)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (TaskConfig(kind="tags"), "task.labels: the task tags needs"),
        (TaskConfig(kind="tags", labels=("None", "a")), "task.labels: 'none' says that no tag applies"),
        (TaskConfig(kind="detect"), "task.labels: the task detect needs"),
        (TaskConfig(kind="extract"), "task.options.fields: name the fields"),
        (TaskConfig(kind="describe", labels=("a",)), "task.labels: describe has no labels"),
        (TaskConfig(kind="classify", options={"ordered": True}), "task.options.ordered: needs task.labels"),
    ],
)
def test_what_a_task_cannot_do_without_is_named(task, message):
    assert any(message in line for line in plugins.load("task", task.kind).problems(task))


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        ("dent, scratch", '["scratch", "dent"]'),
        ("Bump", '["dent"]'),
        ("", "[]"),
        ("none", "[]"),
        ("dent,dent", '["dent"]'),
    ],
)
def test_tags_are_written_in_the_order_of_the_labels(raw, written):
    assert tags.admit(TAGS, example(raw)).target == written


def test_an_unknown_tag_is_refused():
    with pytest.raises(DataError, match=r"tag 'rust' is none of task\.labels"):
        tags.admit(TAGS, example("dent, rust"))


def test_tags_compare_as_sets():
    assert tags.outcome("", '["dent", "scratch"]', '["scratch", "dent"]') == "correct"
    assert tags.outcome("", '["dent"]', '["scratch", "dent"]') == "wrong"
    assert tags.messages(TAGS, (), example())[0].text.startswith("Which of these apply: scratch, dent?")


def test_fields_come_in_the_declared_order():
    assert extract.admit(FIELDS, example('{"date": null, "lot": "A"}')).target == '{"lot": "A", "date": null}'
    assert "lot, date" in extract.messages(FIELDS, (), example())[0].text


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("lot A", "is not one JSON object"),
        ("[1]", "is not one JSON object"),
        ('{"lot": 1}', "fields lot, task.options.fields has lot, date"),
    ],
)
def test_a_gold_object_must_fit(target, message):
    with pytest.raises(DataError, match=message):
        extract.admit(FIELDS, example(target))


def test_an_invented_field_makes_an_object_wrong():
    gold = '{"lot": "A", "date": null}'
    assert extract.outcome("", '{"date": null, "lot": "a"}', gold) == "correct"
    assert extract.outcome("", '{"lot": "A", "date": null, "more": 1}', gold) == "wrong"
    assert extract.outcome("", '{"lot": "A"}', gold) == "wrong"


def test_boxes_become_text_once_the_size_is_known():
    admitted = detect.admit(BOXES, example(boxes=(Box(10, 20, 30, 40, "short"),)))
    assert admitted.target == ""
    done = detect.complete(BOXES, admitted, [(100, 200)])
    assert done.target == '[{"label": "short", "box": [50, 200, 150, 400]}]'
    assert detect.outcome("", done.target, done.target) == "correct"
    assert detect.outcome("", "[]", done.target) == "wrong"


def test_a_target_in_canonical_form_needs_no_boxes():
    text = '[{"label": "open", "box": [1, 2, 3, 4]}]'
    assert detect.complete(BOXES, detect.admit(BOXES, example(text)), [(9, 9)]).target == text


@pytest.mark.parametrize(
    ("boxes", "target", "message"),
    [
        (None, "[1]", "cannot be read"),
        (None, '[{"label": "rust", "box": [1, 2, 3, 4]}]', "box label 'rust'"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(boxes, target, message):
    with pytest.raises(DataError, match=message):
        detect.admit(BOXES, example(target, boxes))


def test_boxes_of_other_labels_are_left_out_and_counted():
    found = detect.admit(BOXES, example("", (Box(1, 2, 3, 4, "rust"), Box(5, 6, 7, 8, "open"))))
    assert [box.label for box in found.boxes] == ["open"]
    assert found.meta["labels_left_out"] == "1"
    assert "labels_left_out" not in detect.admit(BOXES, example("", (Box(5, 6, 7, 8, "open"),))).meta


def test_a_question_that_says_no_form_is_followed_by_that_of_the_notation():
    def asked(question, name):
        task = TaskConfig(kind="detect", question=question, labels=("open",), options={"boxes": name})
        return detect.messages(task, (), example())[0].text

    assert asked("Find every {labels}.", "qwen3_vl").startswith("Find every open. Answer with a JSON list of objects")
    assert "bbox_2d as [x1, y1, x2, y2] in thousandths" in asked("Where is it?", "qwen3_vl")
    assert asked("Find it, as JSON with box.", "qwen3_vl") == "Find it, as JSON with box."
    assert asked(detect.QUESTION, "paligemma") == "detect open"


def test_boxes_on_a_second_image_are_refused():
    with pytest.raises(DataError, match="second image"):
        detect.complete(BOXES, example(boxes=(Box(1, 2, 3, 4, "short", image=1),)), [(9, 9), (9, 9)])


def test_synonyms_name_boxes_and_strangers_keep_their_name():
    task = TaskConfig(kind="detect", labels=("short",), synonyms={"short": ("bridge",)})
    text = '[{"label": "Bridge", "box": [1, 2, 3, 4]}, {"label": "rust", "box": [5, 6, 7, 8]}]'
    expected = '[{"label": "short", "box": [1, 2, 3, 4]}, {"label": "rust", "box": [5, 6, 7, 8]}]'
    assert detect.parse(text, task.labels, task.synonyms) == expected


def test_a_description_never_decides():
    task = TaskConfig(kind="describe")
    assert not describe.decides(task, (), example("A dent."))
    assert describe.messages(task, (), example())[0].text == describe.QUESTION
    assert describe.parse("<think>x</think> A dent at the rim.", ()) == "A dent at the rim."
    assert describe.parse("I'm sorry, I can't help with that.", ()) is None
    assert describe.outcome("", "a dent", "A dent.") == "correct"
    with pytest.raises(DataError, match="text to write is empty"):
        describe.admit(task, example(" \n"))


def test_a_question_of_the_row_wins_over_the_tasks_own():
    assert tags.messages(TAGS, (), example(question="Own?"))[0].text == "Own?"


@pytest.mark.parametrize(
    "synonyms", [{"cut": ("fold",)}, {"cut": ("slit",), "fold": ("SLIT ",)}, {"cut": ("Fo\u017fd", "FOLD")}]
)
def test_a_spelling_that_would_name_two_labels_is_refused(synonyms):
    found = [example("cut"), example("fold")]
    with pytest.raises(DataError, match=r"would name both 'cut' and 'fold' \(task.synonyms\)"):
        classify.labels(TaskConfig(synonyms=synonyms), found)


@pytest.mark.parametrize("text", ['{"a": 1e400}', '{"a": "\\ud800"}', '[{"label": "\\ud800", "box": [1, 2, 3, 4]}]'])
def test_values_that_no_record_can_hold_are_no_json(text):
    assert json_replies.values(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"result": {"a": 1, "b": 2}, "confidence": 0.9', []),
        ('{"old": {"a": 1}, bad} then {"b": 2}', [{"b": 2}]),
        ('{"note": "a } in a \\" string", bad} {"b": 2}', [{"b": 2}]),
        ('the set {a, b}: {"b": 2}', [{"b": 2}]),
        ('a [sic] {"b": 2}', [{"b": 2}]),
        ('[{"a": 1}, {"a": 2}', []),
    ],
)
def test_nothing_is_taken_out_of_a_value_that_is_broken_or_cut_off(text, found):
    assert json_replies.values(text) == found
