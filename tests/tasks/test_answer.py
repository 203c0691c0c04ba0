import pytest

from finetune.config.schema import TaskConfig
from finetune.errors import ConfigError, DataError
from finetune.example import Example, ImageRef, Message
from finetune.tasks import answer

TASK = TaskConfig(kind="answer", question="{question} One of: {labels}.", labels=("yes", "no"))
LABELS = ("yes", "no")


def example(question="Is it broken?", target="yes", **meta):
    messages = (Message("user", question),) if question else ()
    return Example("x#1", (ImageRef("x.png"),), target, "x", messages=messages, meta=meta)


@pytest.mark.parametrize(
    ("raw", "written"),
    [("Yes", "yes"), (" NO. ", "no"), ("The  right\nlung", "The right lung"), ("Not sure", "Not sure")],
)
def test_closed_answers_take_the_declared_spelling(raw, written):
    assert answer.admit(TASK, example(target=raw)).target == written


def test_a_synonym_in_the_source_is_the_label():
    task = TaskConfig(kind="answer", labels=LABELS, synonyms={"yes": ("present",)})
    assert answer.admit(task, example(target="Present")).target == "yes"


def test_closed_and_open_questions_are_asked_apart():
    (closed,) = answer.messages(TASK, LABELS, example())
    (free,) = answer.messages(TASK, LABELS, example(target="left lung"))
    assert closed.text == "Is it broken? One of: yes, no."
    assert free.text == "Is it broken? Answer in a few words."
    assert answer.choices(TASK, LABELS, example()) == LABELS
    assert answer.choices(TASK, LABELS, example(target="left lung")) == ()


def test_only_closed_questions_carry_a_verdict():
    assert answer.decides(TASK, LABELS, example())
    assert not answer.decides(TASK, LABELS, example(target="left lung"))


def test_marks_inside_a_question_stay_text():
    (asked,) = answer.messages(TASK, LABELS, example(question="What does {labels} on {question} mean?"))
    assert asked.text == "What does {labels} on {question} mean? One of: yes, no."


def test_a_question_has_choices_of_its_own():
    task = TaskConfig(kind="answer", options={"choices": "offered"})
    asked = answer.admit(task, example("Which side?", "Left", offered="left | right"))
    assert asked.target == "left"
    assert answer.choices(task, LABELS, asked) == ("left", "right")
    assert answer.messages(task, LABELS, asked)[0].text == "Which side? Answer with one of: left, right."
    with pytest.raises(DataError, match=r"answer 'up' is none of the question's choices \('left', 'right'\)"):
        answer.admit(task, example("Which side?", "up", offered="left|right"))
    assert answer.choices(task, LABELS, example("Where?", "above", offered="")) == ()


def test_an_example_without_a_question_is_refused_where_one_is_needed():
    with pytest.raises(ConfigError, match=r"'x#1' has no question of its own\. .*data\.options\.question.*--question"):
        answer.messages(TASK, LABELS, example(question=None))


def test_a_question_given_by_hand_is_asked_as_it_is():
    task = TaskConfig(kind="answer", question="What is this?")
    assert answer.messages(task, LABELS, example(question=None, target=""))[0].text == "What is this?"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "mm"}, "task.options.unit: says what a tolerance is measured in"),
        ({"absolut": 1.0}, "task.options.absolut: there is no such key. Did you mean task.options.absolute?"),
        ({"relative": "5"}, "task.options.relative: got '5'"),
    ],
)
def test_mistakes_in_the_options_are_named(options, message):
    (found,) = answer.problems(TaskConfig(kind="answer", options=options))
    assert message in found


def test_a_tolerance_makes_a_number_right():
    judge = answer.judge(TaskConfig(kind="answer", options={"absolute": 0.5, "unit": "mm"}))
    assert judge("", "1.02 cm", "10 mm") == "correct"
    assert judge("", "1.2 cm", "10 mm") == "wrong"
    assert answer.judge(TASK)("", "10.2 mm", "10 mm") == "wrong"


@pytest.mark.parametrize(
    ("said", "gold", "outcome"),
    [("The liver.", "liver", "correct"), ("lung", "liver", "wrong"), ("no", "no", "correct"), (None, "no", "unparsed")],
)
def test_outcomes(said, gold, outcome):
    assert answer.outcome("reply", said, gold) == outcome


def test_metrics_tell_closed_from_open():
    found = answer.metrics(["yes", "no", "right lung"], ["yes", None, "lung"], ["a", "b", "b"])
    assert found["closed_accuracy"].value == 0.5
    assert found["exact_match"].value == 0.0
    assert found["token_f1"].value == pytest.approx(2 / 3)
    assert set(answer.metrics(["yes"], ["yes"], ["a"])) == {"closed_accuracy"}
    assert set(answer.metrics(["lung"], ["lung"], ["a"])) == {"exact_match", "token_f1"}
