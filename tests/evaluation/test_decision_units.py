"""Thresholds, and several images as one decision, on rows that can be checked by eye."""

from dataclasses import replace

import pytest
from scripted import answers, asked, rule

from finetune.evaluation import comparison, decision_units

GOLDS = ["good", "bad", "good", "good", "good", "good"]
GROUPS = ["p1", "p1", "p1", "p2", "p2", "p2"]  # p1 has one bad image
TEST = asked(GOLDS, GROUPS)


def settled(aggregate, marks, chances=None, threshold=None):
    evaluate = rule(unit="group", aggregate=aggregate, threshold=threshold)
    rows = decision_units.at_threshold(answers(TEST, marks, chances), "bad", threshold)
    return [(row.gold, row.answer, row.outcome) for row in decision_units.aggregate(rows, TEST, evaluate)]


@pytest.mark.parametrize(
    ("aggregate", "marks", "expected"),
    [
        ("any", "++++++", [("bad", "bad", "correct"), ("good", "good", "correct")]),
        ("any", "+-++-+", [("bad", "good", "wrong"), ("good", "bad", "wrong")]),
        ("any", "--+u++", [("bad", "bad", "correct"), ("good", None, "unparsed")]),  # p1: the wrong image is called bad
        ("vote", "++++-+", [("good", "good", "correct"), ("good", "good", "correct")]),
        ("vote", "+-++u-", [("good", "good", "correct"), ("good", None, "unparsed")]),  # 1 : 1 and one unknown
        ("vote", "e+++u+", [("good", None, "api_error"), ("good", "good", "correct")]),  # 2 good of 3 is settled
    ],
)
def test_images_of_a_group_make_one_decision(aggregate, marks, expected):
    assert settled(aggregate, marks) == expected


def test_the_largest_probability_decides_at_the_threshold():
    chances = [0.9, 0.6, 0.9, 0.55, 0.9, 0.9]  # of the answers; "bad" has 0.6 in p1 and 0.45 in p2
    assert [row[1] for row in settled("max", "++++++", chances)] == ["bad", "good"]
    assert [row[1] for row in settled("max", "++++++", chances, 0.4)] == ["bad", "bad"]
    assert [row[1] for row in settled("max", "++++++", chances, 0.7)] == ["good", "good"]
    unit = decision_units.aggregate(answers(TEST, "++++++", chances), TEST, rule(unit="group", aggregate="max"))[1]
    assert unit.probabilities == {"bad": pytest.approx(0.45), "good": pytest.approx(0.55)}


def test_a_threshold_moves_answers_and_outcomes_but_not_failures():
    rows = answers(TEST, "++u+++", [0.7] * 6)
    moved = decision_units.at_threshold(rows, "bad", 0.25)
    assert [row.answer for row in moved] == ["bad", "bad", None, "bad", "bad", "bad"]
    assert [row.outcome for row in moved] == ["wrong", "correct", "unparsed", "wrong", "wrong", "wrong"]
    assert [row.answer for row in decision_units.at_threshold(rows, "bad", None)] == [row.answer for row in rows]


def test_the_majority_and_the_service_keep_their_answers():
    rows = answers(TEST, "++++++", [0.7] * 6)
    evaluate = rule(threshold=0.25)
    found = comparison.operated(TEST, {"tuned": rows, "majority": rows, "gpt": rows}, evaluate, "gpt")
    assert [sum(row.outcome == "correct" for row in own) for own in found.values()] == [1, 6, 6]


def test_numbers_are_of_units_and_the_flow_of_images():
    evaluate = rule(unit="group", aggregate="any")
    found = comparison.compare(TEST, {"tuned": answers(TEST, "+-++++"), "base": answers(TEST, "+-+-++")}, {}, evaluate)
    assert (found["n"], found["groups"], found["estimand"]["images"]) == (2, 2, 6)
    assert found["models"]["tuned"]["accuracy"]["value"] == 0.5
    assert found["flow"]["tuned"]["asked"] == 6
    assert found["outcomes"]["base"]["wrong"] == 2
    assert (found["pairs"]["tuned-base"]["b"], found["pairs"]["tuned-base"]["n"]) == (1, 2)
    assert "any of its images" in found["estimand"]["text"]


def test_images_are_units_by_themselves():
    rows = answers(TEST, "+++++-")
    assert decision_units.aggregate(rows, TEST, rule()) == rows
    assert decision_units.by_unit(TEST, rule()) is TEST
    whole = decision_units.by_unit(replace(TEST, folds=("a",) * 3 + ("b",) * 3), rule(unit="group", aggregate="any"))
    assert ([e.target for e in whole.examples], whole.folds) == (["bad", "good"], ("a", "b"))


def test_an_answer_that_a_threshold_gave_is_explained_by_the_probabilities_that_it_looked_at():
    test = asked(["bad", "good"])
    rows = [replace(row, even_probabilities={"bad": 0.9, "good": 0.1}) for row in answers(test, "++", [0.8, 0.8])]
    first, second = decision_units.at_threshold(rows, "bad", 0.3)
    assert (first.answer, second.answer) == ("bad", "good")
    assert (first.deciding, second.deciding) == ({"bad": 0.8, "good": pytest.approx(0.2)}, second.probabilities)
    assert [row.deciding for row in decision_units.at_threshold(rows, "bad", None)] == [{"bad": 0.9, "good": 0.1}] * 2
