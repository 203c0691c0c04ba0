"""Values of `plan` that are out of range or no values, and figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.cli import plan
from finetune.errors import ConfigError


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("n=[", r"n: got '\[', expected a number"),
        ("margin={", r"margin: got '\{', expected a number"),
        ("n=0", "n: got 0, expected 1 or more"),
        ("n=-5", "n: got -5, expected 1 or more"),
        ("n=ten", "n: "),
        ("n=2.5", "n: "),
        ("disagreement=0", "disagreement: got 0.0, expected more than 0 and less than 1"),
        ("disagreement=10", "disagreement: got 10.0, expected more than 0"),
        ("margin=3", "margin: got 3.0, expected more than 0 and less than 1"),
        ("power=80", "power: got 80.0, expected more than 0"),
        ("icc=-0.1", r"icc: got -0.1, expected 0\.\.1"),
        ("icc=.nan", r"icc: got nan, expected 0\.\.1"),
        ("margin=.nan", "margin: got nan, expected more than 0"),
        ("groups_of=0", "groups_of: got 0, expected 1 or more"),
    ],
)
def test_a_value_that_cannot_be_is_named(argument, message):
    with pytest.raises(ConfigError, match=message):
        plan.run([*(["n=100"] if not argument.startswith("n=") else []), argument])


def test_all_of_them_are_said_at_once():
    with pytest.raises(ConfigError) as caught:
        plan.run(["n=0", "icc=2", "margin=5", "power=0"])
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("rows", "positive", "expected"),
    [
        ([("good", "a"), ("bad", "a"), ("good", "b")], "bad", {"a": "bad", "b": "good"}),
        ([("bad", "a"), ("good", "a")], "bad", {"a": "bad"}),
        ([("x", "a"), ("y", "a")], None, {"a": "x"}),
        ([], "bad", {}),
    ],
)
def test_the_label_of_a_group_with_one_decision(rows, positive, expected):
    assert plan._per_group(rows, positive) == expected


@pytest.mark.parametrize(
    ("share", "text"), [(0.0301, "3.1 points"), (0.03, "3.0 points"), (0.0999, "10.0 points"), (0.1, "10.0 points")]
)
def test_points_are_rounded_up_so_that_what_is_promised_is_found(share, text):
    assert plan._points(share) == text


def told(gold=(), groups=None, assumed=None, **more):
    names = tuple(groups or map(str, range(len(gold))))
    return "\n".join(plan.lines(plan.TestSet(tuple(gold), names, "here", **more), assumed or plan.Assumptions()))


def test_a_rare_class_is_worth_few_items():
    """10 bad and 990 good: weights 1 / 20 and 1 / 1980, so 1 / sum(w^2) = 39.6 items of equal weight."""
    text = told(["bad"] * 10 + ["good"] * 990, metric="balanced_accuracy")
    assert "1,000 items that balanced_accuracy is about" in text
    assert "worth 40 independent items of equal weight" in text


def test_only_the_items_of_the_metric_count():
    text = told(["bad"] * 10 + ["good"] * 990, metric="sensitivity", positive="bad")
    assert "Test set: 10 items that sensitivity is about" in text


def test_views_are_worth_less_than_parts():
    """50 groups of 4 at icc 0.1: an effect of 1 + 3 x 0.1 = 1.3, so 200 are worth 153.8."""
    text = told(["good"] * 200, [str(i // 4) for i in range(200)])
    assert "in 50 groups; design effect 1.3 at icc=0.1 within groups of 4.0" in text
    assert "worth 154 independent items" in text


@pytest.mark.parametrize(("count", "short"), [(35, True), (36, False)])
def test_a_guard_that_the_test_can_never_show_is_said_before_anything_is_spent(count, short):
    text = told(["bad"] * count + ["good"] * 100, guards={"sensitivity.bad": 0.9})
    assert "sensitivity.bad of 0.9: 36 independent items without a miss" in text
    assert f"the test has {count} in {count} groups" in text
    assert ("NOT ENOUGH even without a miss" in text) is short


@given(st.integers(1, 3000), st.floats(0.02, 0.5), st.floats(0.01, 0.2), st.floats(0, 1))
def test_enough_is_never_said_of_fewer_than_twenty_or_without_power(n, disagreement, margin, icc):
    assumed = plan.Assumptions(disagreement=disagreement, margin=margin, icc=icc)
    text = told(groups=[str(i) for i in range(n)], assumed=assumed)
    independent = (1.959964 + 0.841621) ** 2 * disagreement / margin**2
    assert ("enough, if both models are alike" in text) == (n >= 20 and n >= independent - 0.01) or abs(
        n - independent
    ) < 1
