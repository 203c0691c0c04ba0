"""Questions: answers follow from the attributes, listed labels hold the answer, nothing reserved is ever said."""

import numpy as np
import pytest

from finetune.embedded.questions import NUMBERS, SYNONYMS, TASKS, VERDICTS, Question, describe, draw_questions
from finetune.embedded.surfaces import KINDS, Instance, Surface, make_surface


def _surface(kind: str, *instances: Instance) -> Surface:
    blank = np.zeros((128, 128), np.uint8)
    return Surface(0, np.zeros((128, 128, 3), np.uint8), blank, "cloth", kind, instances)


NONE = _surface("none")
ONE = _surface("hole", Instance(10, 10, 50))
TWO = _surface("crack", Instance(10, 60, 50), Instance(100, 60, 20))


def _ask(task: str, surface: Surface, times: int = 60) -> list[Question]:
    ask, _ = TASKS[task]
    questions = [ask(surface, np.random.default_rng(seed)) for seed in range(times)]
    return [question for question in questions if question is not None]


def test_answers_by_hand() -> None:
    assert {question.answer for question in _ask("surface", ONE)} == {"cloth"}
    assert {question.answer for question in _ask("kind", ONE)} == set(SYNONYMS["hole"])
    assert {question.answer for question in _ask("kind", NONE)} == set(SYNONYMS["none"])
    assert {question.answer for question in _ask("position", ONE)} == {"top left"}
    assert {question.answer for question in _ask("larger", TWO)} == {"left"}
    assert {question.answer for question in _ask("count", TWO)} == {"two"}
    assert {question.answer for question in _ask("verdict", NONE)} == {good for good, _ in VERDICTS}
    assert {question.answer for question in _ask("verdict", ONE)} == {bad for _, bad in VERDICTS}


def test_questions_that_have_no_answer_are_not_asked() -> None:
    assert not _ask("position", NONE)
    assert not _ask("position", TWO)
    assert not _ask("larger", NONE)
    assert not _ask("larger", ONE)


def test_presence_is_yes_only_for_what_is_there() -> None:
    assert {question.answer for question in _ask("present", NONE)} == {"no"}
    for question in _ask("present", ONE, 200):
        named = [kind for kind, names in SYNONYMS.items() for name in names[:2] if f" a {name}?" in question.text]
        expected = "yes" if not named or "hole" in named or "a defect" in question.text else "no"
        assert question.answer == expected, question.text


@pytest.mark.parametrize(
    ("surface", "text"),
    [
        (NONE, "cloth without a defect"),
        (ONE, "cloth with one hole, top left"),
        (TWO, "cloth with two cracks"),
    ],
)
def test_describe(surface: Surface, text: str) -> None:
    assert describe(surface) == text


def test_listed_labels_hold_the_answer_and_stand_in_the_question() -> None:
    for seed in range(60):
        for question in draw_questions(make_surface(seed), np.random.default_rng(seed), 8):
            if question.labels is not None and question.task != "present":
                assert question.answer in question.labels
                assert all(label in question.text for label in question.labels)
                assert len(set(question.labels)) == len(question.labels)


def test_label_order_says_nothing_about_the_answer() -> None:
    places = [q.labels.index(q.answer) for q in _ask("kind", ONE, 300) if q.labels and len(q.labels) == len(KINDS)]
    assert len(places) > 60
    assert set(places) == set(range(len(KINDS)))


def test_draws_are_repeatable_and_as_many_as_asked() -> None:
    surface = make_surface(5)
    first = draw_questions(surface, np.random.default_rng(1), 7)
    assert first == draw_questions(surface, np.random.default_rng(1), 7)
    assert len(first) == 7


def test_nothing_reserved_is_said() -> None:
    said = " ".join(f"{q.text} {q.answer}" for task in TASKS for s in (NONE, ONE, TWO) for q in _ask(task, s))
    for word in ("fold", "poke", "glue", " cut", "color", "leather", "functional", "defective"):
        assert word not in said


def test_numbers_reach_the_largest_count() -> None:
    assert len(NUMBERS) == 5
