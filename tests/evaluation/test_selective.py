"""Handing over what a model is unsure of: the threshold comes from validation, the bounds from the test."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import details
from scripted import OUTCOMES, answers, asked
from synthetic import rows as plain

from finetune.evaluation import selective

TEST = asked(["bad", "good"] * 50)


def said(marks, chances):
    return answers(TEST, marks, chances)


SURE = said("+" * 60 + "-" * 20 + "+" * 20, [0.9] * 60 + [0.6] * 40)  # 60 sure and right, 20 of 40 others wrong


@pytest.mark.parametrize("mark", list(OUTCOMES))
def test_what_failed_is_handed_over_first_whatever_its_probabilities(mark):
    row = replace(said(mark + "+" * 99, [0.9] * 100)[0], probabilities={"bad": 0.99, "good": 0.01})
    assert selective.confidence(row) == -1.0


def test_confidence_is_that_of_the_answer_and_not_of_the_likeliest_label():
    row = replace(SURE[0], answer="bad", probabilities={"bad": 0.3, "good": 0.7})
    assert selective.confidence(row) == 0.3
    assert selective.confidence(SURE[0]) == 0.9
    assert selective.confidence(answers(TEST, "+" * 100)[0]) == -1.0  # no probabilities


def test_the_curve_by_hand():
    """60 of 100 without an error, then all of them with 20."""
    assert selective.curve(SURE) == [[0.6, 0.0], [1.0, 0.2]]
    assert selective.curve(answers(TEST, "+" * 100)) == []


def test_a_long_curve_is_thinned_and_keeps_its_end():
    test = asked(["bad", "good"] * 500)
    found = selective.curve(answers(test, "+-" * 500, [0.5 + i / 2001 for i in range(1000)]))
    assert len(found) <= selective.POINTS + 1
    assert found[-1] == [1.0, 0.5]
    assert [point[0] for point in found] == sorted(point[0] for point in found)


def test_the_threshold_is_that_of_validation_and_the_bounds_are_exact():
    """60 of 60 right: an error of at most 1 - 0.025 ** (1 / 60) = 6.0 %."""
    found = selective.judge(SURE, SURE, 0.1)
    assert (found["threshold"], found["risk"], found["coverage"]) == (0.9, 0.0, 0.6)
    assert found["upper"] == pytest.approx(1 - 0.025 ** (1 / 60))
    assert found["coverage_low"] == pytest.approx(0.4972, abs=1e-4)  # Clopper-Pearson of 60 in 100
    assert found["status"] == "pass"
    assert "60.0 % are answered by the model (at least 49.7 %)" in found["detail"]


@pytest.mark.parametrize(
    ("tuned", "target", "status"),
    [
        (SURE, 0.05, "inconclusive"),  # 0 of 60 may be 6 %
        (said("-" * 12 + "+" * 88, [0.9] * 60 + [0.6] * 40), 0.1, "fail"),  # 12 of 60 wrong
        (said("-" * 3 + "+" * 97, [0.9] * 60 + [0.6] * 40), 0.1, "inconclusive"),
        (said("u" * 100, [0.9] * 100), 0.1, "inconclusive"),
        (said("+" * 100, [0.6] * 100), 0.1, "inconclusive"),  # none reaches the threshold
    ],
)
def test_only_what_is_below_the_target_for_certain_passes(tuned, target, status):
    assert selective.judge(tuned, SURE, target)["status"] == status


@pytest.mark.parametrize(
    ("tuned", "validation", "detail"),
    [
        (SURE, [], "there are no probabilities on validation and test to choose a threshold by"),
        (answers(TEST, "+" * 100), SURE, "there are no probabilities on validation and test"),
        (SURE, said("-" * 100, [0.9] * 100), "no threshold keeps the error on validation within 10 %"),
        (said("+" * 100, [0.6] * 100), SURE, "no answer of the test reaches the threshold"),
    ],
)
def test_why_there_is_no_threshold(tuned, validation, detail):
    found = selective.judge(tuned, validation, 0.1)
    assert found["detail"].startswith(detail)
    assert (found["status"], found["upper"], found["coverage"]) == ("inconclusive", 1.0, 0.0)


def test_views_of_few_parts_do_not_prove_a_low_risk():
    """The 100 images are of 5 parts: no error is then no more than 5 items without one."""
    grouped = asked(["bad", "good"] * 50, [f"p{i % 5}" for i in range(100)])
    found = selective.judge(answers(grouped, "+" * 100, [0.9] * 100), SURE, 0.1)
    assert found["upper"] == pytest.approx(1 - 0.025 ** (1 / 5))
    assert found["status"] == "inconclusive"


@given(
    st.text("+-u", min_size=100, max_size=100),
    st.lists(st.sampled_from([0.55, 0.7, 0.8, 0.95]), min_size=100, max_size=100),
    st.sampled_from([0.05, 0.2, 0.4]),
)
def test_a_pass_is_certain_and_the_second_code_agrees(marks, chances, target):
    tuned = said(marks, chances)
    found = selective.judge(tuned, SURE, target)
    again = details.judged_abstention(plain(tuned), plain(SURE), target)
    assert {name: found[name] for name in again} == pytest.approx(again, abs=1e-9)
    if found["status"] == "pass":
        assert found["risk"] <= found["upper"] <= target
