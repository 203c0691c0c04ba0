"""Guards on hand-built rows: which items each is about, its exact bound, and how many items would do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import OUTCOMES, answers, asked

from finetune.evaluation import guards
from finetune.recompute import verdict

TEST = asked(["bad"] * 4 + ["good"] * 6)


def check(marks, name, floor=0.5, test=TEST):
    return guards.check(test, "tuned", answers(test, marks), name, floor)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, {}),
        ({"coverage": {"min_lower": 0.9}}, {"coverage": 0.9}),
        ({"sensitivity.bad": {"min_lower": 0.9}}, {"sensitivity.bad": 0.9}),
        (
            {"sensitivity": {"bad": {"min_lower": 0.9}, "good": {"min_lower": 1}}},
            {"sensitivity.bad": 0.9, "sensitivity.good": 1.0},
        ),
        ({"precision": {"v1": {"2": {"min_lower": 0.5}}}}, {"precision.v1.2": 0.5}),
        ({"accuracy": 0.9}, {}),
    ],
)
def test_guards_may_be_nested_or_dotted(tree, expected):
    assert guards.declared(tree) == expected
    assert dict(verdict._declared(tree, "")) == expected


@pytest.mark.parametrize(
    ("name", "marks", "right", "n"),
    [
        ("accuracy", "+++-" + "++++--", 7, 10),
        ("sensitivity", "+++-" + "++++--", 3, 4),
        ("sensitivity.bad", "+++-" + "++++--", 3, 4),
        ("sensitivity.good", "+++-" + "++++--", 4, 6),
        ("specificity.bad", "+++-" + "++++--", 4, 6),
        ("specificity.good", "+++-" + "++++--", 3, 4),
        ("precision.bad", "+++-" + "++++--", 3, 5),  # called bad: 3 bad parts and 2 good ones
        ("precision.good", "+++-" + "++++--", 4, 5),
        ("coverage", "+++u" + "++++er", 7, 10),
        ("accuracy", "+++u" + "++++er", 7, 9),  # `api_error` is missing, every other failure is wrong
        ("sensitivity", "+++u" + "++++er", 3, 4),
        ("specificity", "+++u" + "++++er", 4, 5),
        ("precision.good", "+++u" + "++++er", 4, 4),
    ],
)
def test_each_guard_counts_its_own_items(name, marks, right, n):
    found = check(marks, name)
    assert (found["value"], found["n"], found["groups"]) == (pytest.approx(right / n), n, n)
    assert found["lower"] < found["value"]
    assert found["upper"] >= found["value"]


@pytest.mark.parametrize(("n", "lower"), [(1, 0.025), (8, 0.6306), (35, 0.8999), (36, 0.9026), (100, 0.9638)])
def test_no_miss_is_no_certainty(n, lower):
    """Without a miss the bound is 0.025 ** (1 / n)."""
    test = asked(["bad"] * n)
    found = check("+" * n, "sensitivity", 0.9, test)
    assert found["lower"] == pytest.approx(lower, abs=1e-4)
    assert found["lower"] == pytest.approx(0.025 ** (1 / n))
    assert found["status"] == ("pass" if n >= 36 else "inconclusive")
    assert found["needed"] == (None if n >= 36 else 36)


@pytest.mark.parametrize(
    ("hits", "status"),
    [(200, "pass"), (191, "pass"), (186, "inconclusive"), (180, "inconclusive"), (171, "inconclusive"), (160, "fail")],
)
def test_pass_and_fail_are_certain_and_all_else_is_open(hits, status):
    """Clopper-Pearson of 200 at 0.90: 191 has a lower bound of 0.917, 160 an upper one of 0.853."""
    test = asked(["bad"] * 200)
    assert check("+" * hits + "-" * (200 - hits), "sensitivity", 0.9, test)["status"] == status


def test_nothing_to_look_at_is_open_and_not_passed():
    for name, marks in (("precision.bad", "----" + "++++++"), ("accuracy", "e" * 10)):
        found = check(marks, name, 0.01)
        assert (found["value"], found["lower"], found["upper"], found["status"]) == (None, 0.0, 1.0, "inconclusive")
        assert found["n"] == found["groups"] == 0


def test_views_of_one_part_are_not_many_parts():
    """40 views of 4 parts without a miss are worth 4 items, so 360 views are needed for the 36."""
    test = asked(["bad"] * 40, [f"p{i // 10}" for i in range(40)])
    found = check("+" * 40, "sensitivity", 0.9, test)
    assert (found["n"], found["groups"], found["n_effective"]) == (40, 4, pytest.approx(4))
    assert found["lower"] == pytest.approx(0.025 ** (1 / 4))
    assert (found["status"], found["needed"]) == ("inconclusive", 360)


@given(
    st.text("+-urfet", min_size=10, max_size=10),
    st.sampled_from(["accuracy", "coverage", "precision.bad", "sensitivity"]),
    st.floats(0.05, 0.95),
)
def test_a_guard_never_passes_below_its_floor_and_the_second_code_agrees(marks, name, floor):
    from synthetic import rows

    from finetune.config.schema import EvaluateConfig
    from finetune.recompute.rows import Setting

    found = check(marks, name, floor)
    if found["status"] == "pass":
        assert found["value"] > floor
        assert found["lower"] >= floor
    setting = Setting(TEST.labels, EvaluateConfig(positive="bad"), None, 0, TEST.folds, [{}] * 10, "classify")
    again = verdict._guard(rows(answers(TEST, marks)), name, floor, setting)
    assert (again["status"], again["n"], again["needed"]) == (found["status"], found["n"], found["needed"])
    assert (again["lower"], again["upper"]) == pytest.approx((found["lower"], found["upper"]), abs=1e-9)


@given(st.text("+-", min_size=10, max_size=10), st.sampled_from(list(OUTCOMES)), st.integers(0, 9))
def test_a_failure_never_lifts_a_guard_but_where_it_is_missing(marks, failure, place):
    """An answer that failed can only lower the share; `api_error` is left out, which the coverage shows."""
    spoiled = marks[:place] + failure + marks[place + 1 :]
    assert check(spoiled, "coverage")["lower"] <= check(marks, "coverage")["lower"]
    if failure != "e":
        assert check(spoiled, "accuracy")["lower"] <= check(marks, "accuracy")["lower"] + 1e-12


@pytest.mark.parametrize(
    ("low", "high", "floor", "expected"),
    [
        (0.9, 1.0, 0.9, "pass"),
        (0.5, 0.9, 0.9, "inconclusive"),
        (0.5, 0.89, 0.9, "fail"),
        (0.0, 1.0, 0.5, "inconclusive"),
    ],
)
def test_an_interval_against_a_floor(low, high, floor, expected):
    assert guards.held(low, high, floor) == expected


def test_the_floor_of_a_mean_over_classes_holds_for_all_classes_together():
    """Two classes: each bound errs in 1.25 %; without a miss among 4 and 6 it is 0.0125 ** (1 / n)."""
    test = replace(TEST, metric="balanced_accuracy")
    value, low, high = guards.bounds(answers(test, "+" * 10), test)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx((0.0125 ** (1 / 4) + 0.0125 ** (1 / 6)) / 2)
    assert guards.bounds(answers(test, "e" * 10), test) == (0.0, 0.0, 1.0)
    one = guards.bounds(answers(TEST, "+" * 10), TEST)
    assert one == (1.0, pytest.approx(0.025 ** (1 / 10)), 1.0)
