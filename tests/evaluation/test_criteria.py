"""Criteria one by one: what each asks of hand-built rows, and that nothing doubtful ever ends in `replace`."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import answers, asked, case, constant, every, rule

from finetune.evaluation import criteria, decision
from finetune.evaluation.criteria import Case, Criterion

N = 200
TEST = asked(["bad" if i % 2 else "good" for i in range(N)])
GOOD = every(N, lambda i: i % 20 == 1)


def made(tuned=GOOD, service=GOOD, generated=GOOD, evaluate=None, test=TEST, **more):
    deployed = {"majority": constant(test, "good"), "tuned": answers(test, tuned), "service": answers(test, service)}
    other = {} if generated is None else {"tuned": answers(test, generated)}
    return Case(test, deployed, other, evaluate or rule(0.1), "service", **more)


def line(name, status, **more):
    return Criterion(name, "", status, **more)


SETTLED = dict.fromkeys(("noninferior", "floor", "beats_majority", "both_modes", "failures_as_right"), "pass")
SETTLED |= {"beats_linear": "not_asked", "assay_sensitivity": "pass", "coverage": "pass", "fair_baseline": "pass"}
SETTLED |= {"selective_risk": "not_asked", "guard sensitivity.bad": "pass", "margin": "pass"}
STATUSES = ("pass", "fail", "inconclusive", "not_asked")


def table(states):
    """The rows of these statuses, with what follows from them."""
    rows = [line(name, status) for name, status in states.items()]
    return criteria.assigned([*rows, criteria.certainly_worse(rows)])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "replace"),
        ({"floor": "not_asked"}, "replace"),
        ({"both_modes": "not_asked"}, "replace"),
        ({"beats_linear": "pass"}, "replace"),
        ({"selective_risk": "fail"}, "replace"),
        *(
            ({name: status}, "not_enough_evidence")
            for name in ("floor", "beats_majority", "beats_linear", "both_modes", "failures_as_right", "fair_baseline")
            for status in ("fail", "inconclusive")
        ),
        *(
            ({name: "not_asked"}, "not_enough_evidence")
            for name in (
                "margin",
                "noninferior",
                "beats_majority",
                "fair_baseline",
                "coverage",
                "guard sensitivity.bad",
            )
        ),
        ({"noninferior": "inconclusive"}, "not_enough_evidence"),
        ({"noninferior": "fail"}, "keep"),
        ({"guard sensitivity.bad": "inconclusive"}, "not_enough_evidence"),
        ({"guard sensitivity.bad": "fail"}, "keep"),
        ({"guard sensitivity.bad": "fail", "selective_risk": "pass"}, "keep"),
        ({"guard sensitivity.bad": "inconclusive", "selective_risk": "pass"}, "not_enough_evidence"),
        ({"noninferior": "fail", "selective_risk": "pass"}, "replace_with_review"),
        ({"floor": "inconclusive", "selective_risk": "pass"}, "replace_with_review"),
        ({"floor": "inconclusive", "selective_risk": "inconclusive"}, "not_enough_evidence"),
        ({"fair_baseline": "fail", "selective_risk": "pass"}, "not_enough_evidence"),
        ({"fair_baseline": "fail", "noninferior": "fail"}, "keep"),
        ({"assay_sensitivity": "inconclusive", "noninferior": "fail"}, "not_enough_evidence"),
        ({"coverage": "fail", "guard sensitivity.bad": "fail"}, "not_enough_evidence"),
    ],
)
def test_the_verdict_that_statuses_allow(changes, expected):
    assert criteria.verdict(table(SETTLED | changes)) == expected


@settings(max_examples=2000, deadline=None)
@given(
    st.fixed_dictionaries(
        {name: st.sampled_from(["pass"] * 9 + ["fail", "inconclusive", "not_asked"]) for name in SETTLED}
    )
)
def test_no_verdict_without_all_that_it_needs_and_the_second_code_agrees(states):
    from oracle import verdict

    rows = table(states)
    found = criteria.verdict(rows)
    needed = [row for row in rows if found in row.needed_for]
    assert all(row.status == "pass" for row in needed)
    assert needed or found == "not_enough_evidence"
    judged = {row.name: {"status": row.status} for row in rows}
    assert verdict.settled(judged) == found
    assert [list(row.needed_for) for row in rows] == [verdict.needing(row.name, row.status) for row in rows]


@given(st.data())
def test_a_table_of_any_needs_gives_no_verdict_that_an_open_row_stands_against(data):
    """Tables as a later version might write them: other names, other needs."""
    needs = st.lists(st.sampled_from(criteria.VERDICTS), unique=True).map(tuple)
    rows = [
        line(name, data.draw(st.sampled_from(STATUSES)), needed_for=data.draw(needs))
        for name in (*SETTLED, "certainly_worse", "of tomorrow")
    ]
    found = criteria.verdict(rows)
    assert all(row.status == "pass" for row in rows if found in row.needed_for)


@pytest.mark.parametrize("name", [*SETTLED, "certainly_worse"])
def test_a_row_that_is_not_there_does_not_count_as_passed(name):
    rows = [row for row in table(SETTLED | {"floor": "pass"}) if row.name != name]
    asked = name in ("floor", "beats_linear", "both_modes", "guard sensitivity.bad", "selective_risk")
    assert criteria.verdict(rows) == ("replace" if asked or name == "certainly_worse" else "not_enough_evidence")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.02, 0.03, None),
        (-0.03, -0.001, "measurably_worse"),
        (0.001, 0.02, "superior"),
        (0.0, 0.02, None),
        (-0.02, 0.0, None),
    ],
)
def test_what_is_said_beside_replace(low, high, expected):
    assert decision._qualifier(line("noninferior", "pass", value=0.0, low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("generated", "guards", "status"),
    [
        (GOOD, {}, "pass"),
        (None, {}, "inconclusive"),
        ("-" * N, {}, "fail"),
        ("u" * N, {}, "fail"),
        (every(N, lambda i: i % 10 == 1), {"coverage": {"min_lower": 0.9}}, "pass"),
        (every(N, lambda i: i % 20 == 1, "u"), {"coverage": {"min_lower": 0.97}}, "inconclusive"),
        (every(N, lambda i: i % 20 == 1, "u"), {"coverage": {"min_lower": 0.99}}, "fail"),
    ],
)
def test_it_must_hold_when_generated_with_every_guard(generated, guards, status):
    assert criteria.both_modes(made(generated=generated, evaluate=rule(0.12, guards=guards))).status == status


@pytest.mark.parametrize(
    ("generated", "floor", "status"),
    [(GOOD, 0.9, "pass"), (every(N, lambda i: i % 10 == 1), 0.9, "inconclusive"), ("+" * 150 + "-" * 50, 0.9, "fail")],
)
def test_the_floor_must_hold_when_generated(generated, floor, status):
    """10 of 200 wrong are at least 90.9 % right for certain; 20 of 200 are 90 %, not certainly above it."""
    found = criteria.both_modes(made(generated=generated, evaluate=rule(0.4, floor=floor)))
    assert found.status == status
    assert ("not met when generated: floor" in found.detail) == (status != "pass")


def test_open_answers_can_only_be_generated():
    found = criteria.both_modes(made(generated=None, test=replace(TEST, labels=("bad", "good"))))
    assert found.status == "inconclusive"
    case_ = made(generated=None)
    assert criteria.both_modes(replace(case_, test=replace(TEST, labels=()))).status == "not_asked"


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], "inconclusive"),
        (["pass"], "pass"),
        (["pass", "unknown"], "inconclusive"),
        (["unknown", "fail"], "fail"),
        (["fail", "pass"], "fail"),
    ],
)
def test_a_handicapped_baseline_is_said(states, status):
    rows = tuple({"check": f"c{i}", "status": state, "detail": "told"} for i, state in enumerate(states))
    found = criteria.fair_baseline(made(fairness=rows))
    assert found.status == status
    assert [f"c{i}" in found.detail for i, state in enumerate(states)] == [state != "pass" for state in states]


@pytest.mark.parametrize(
    ("tuned", "service", "least", "status"),
    [(0, 0, 1.0, "pass"), (20, 0, 0.9, "pass"), (0, 20, 0.9, "pass"), (21, 0, 0.895, "fail"), (0, 40, 0.8, "fail")],
)
def test_coverage_is_that_of_the_quieter_one(tuned, service, least, status):
    found = criteria.coverage(made(every(N, lambda i: i < tuned, "u"), every(N, lambda i: i < service, "r")))
    assert (found.value, found.status) == (pytest.approx(least), status)


def test_a_rival_that_was_not_asked_for_and_one_that_must_be():
    bare = made()
    bare = replace(bare, deployed={who: rows for who, rows in bare.deployed.items() if who != "majority"})
    needed, free = criteria.beats(bare, "majority", required=True), criteria.beats(bare, "linear", required=False)
    assert (needed.status, free.status) == ("inconclusive", "not_asked")
    assert "add majority to evaluate.models" in needed.detail
    assert "add" not in free.detail


def test_without_items_on_which_to_differ_nothing_passes():
    found = criteria.noninferior(made(service="e" * N))
    assert (found.status, found.value, found.detail) == ("inconclusive", None, "no item that both answered")


@pytest.mark.parametrize("metric", ["sensitivity", "specificity"])
def test_a_test_without_items_of_the_class_has_no_verdict_and_no_traceback(metric):
    """All good: nothing can be said of the sensitivity of `bad`, nor the other way round."""
    test = asked(["good" if metric == "sensitivity" else "bad"] * 60, metric=metric)
    found = case(test, answers(test, "+" * 60), answers(test, "+" * 60), rule(0.05, metric=metric))
    assert found["bands"]["tuned"] == {"low": 0.0, "high": 1.0}
    assert found["decision"]["verdict"] == "not_enough_evidence"
    assert found["pairs"]["tuned-service"]["n"] == 0


@settings(max_examples=25, deadline=None)
@given(st.text("+-ue", min_size=30, max_size=30), st.text("+-urfet", min_size=30, max_size=30))
def test_thirty_items_never_replace_within_three_points(tuned, service):
    """Without a disagreement the bound at n = 30 is -3.84 / 33.84 = -11 points."""
    test = asked(["bad", "good"] * 15)
    deployed = {"tuned": answers(test, tuned), "service": answers(test, service), "majority": constant(test, "good")}
    made_ = Case(test, deployed, {"tuned": deployed["tuned"]}, rule(0.03), "service")
    assert decision.decide(made_).verdict != "replace"


def test_nobody_is_compared_with_itself():
    assert replace(made(), baseline="tuned").replaced is None
    assert replace(made(), baseline="absent").replaced is None
    assert replace(made(), candidate="absent").replaced is None
