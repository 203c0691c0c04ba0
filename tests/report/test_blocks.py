"""Blocks against numbers worked out by hand; what has no data is left out or says why."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from report import rich_run

from finetune.report import (
    answer_flow,
    calibration,
    costs,
    deployment,
    highlights,
    junit,
    limits,
    regressions,
    results,
    verdict_page,
)
from finetune.report import context as content
from finetune.rundir import read_json


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return content.gather(*rich_run.write(tmp_path_factory.mktemp("runs") / "run", parts=30))


def with_comparison(facts, **changes):
    return replace(facts, comparison=facts.comparison | changes)


@pytest.mark.parametrize(
    ("verdict", "qualifier", "badge", "title"),
    [
        ("replace", None, "Replace", "The tuned model may replace rival_api."),
        ("replace", "superior", "Replace", "The tuned model may replace rival_api, and is better."),
        (
            "replace",
            "measurably_worse",
            "Replace",
            "The tuned model may replace rival_api, though it is measurably worse.",
        ),
        ("keep", None, "Keep what is there", "Keep rival_api."),
        ("not_enough_evidence", None, "Not enough evidence", "Not enough evidence to replace rival_api."),
    ],
)
def test_the_verdict_in_words(facts, verdict, qualifier, badge, title):
    decision = facts.comparison["decision"] | {"verdict": verdict, "qualifier": qualifier}
    found = verdict_page.front(with_comparison(facts, decision=decision))
    assert (found.badge, found.title) == (badge, title)


def test_the_rule_is_said_as_it_was_fixed(facts):
    told = dict(verdict_page.front(facts).rule)
    assert told["Primary metric"] == "balanced accuracy"
    assert told["Largest loss accepted"] == "5 points"
    assert told["To be replaced"] == "rival_api"
    assert ("Guard", "sensitivity of scratch at least 80.0\u202f%, one-sided 97.5 %") in verdict_page.front(facts).rule
    bare = replace(facts.config.evaluate, decision=replace(facts.config.evaluate.decision, margin=None))
    told = verdict_page.rule(replace(facts, config=replace(facts.config, evaluate=bare)))
    assert told[-1] == ("Largest loss accepted", "none was declared, so there can be no verdict to replace")


def test_what_would_be_enough(facts):
    decision = facts.comparison["decision"] | {"needed": {"items": 1240, "groups": 414}}
    told = verdict_page.needed(with_comparison(facts, decision=decision))
    assert told == "A test of about 1,240 images (90 here) in 414 groups (30 here) would be enough."


def test_page_one_leaves_the_list_of_open_points_to_the_titles(facts):
    reason = "The rule is neither met nor broken: x. Open: guard a: 1; both_modes: 2."
    found = verdict_page.front(with_comparison(facts, decision=facts.comparison["decision"] | {"reason": reason}))
    assert (found.reason, found.whole_reason) == ("The rule is neither met nor broken: x.", reason)
    needed = [row for row in facts.comparison["decision"]["criteria"] if "replace" in row["needed_for"]]
    assert [state for _, state in found.open] == [row["status"] for row in needed if row["status"] != "pass"]
    assert ("The rival had a fair chance", "inconclusive") in found.open


def test_criteria_in_points_and_in_percent(facts):
    rows = [
        {"name": "noninferior", "status": "pass", "value": 0.012, "low": -0.02, "high": 0.04, "bound": -0.05},
        {"name": "guard sensitivity.pit", "status": "fail", "value": 0.5, "low": 0.4, "high": 0.6, "bound": 0.9},
        {"name": "beats_majority", "status": "not_asked", "value": None, "bound": 0.0},
    ]
    first, second, third = results.criteria(
        with_comparison(facts, decision=facts.comparison["decision"] | {"criteria": rows})
    )
    assert (first.value, first.bound) == ("+1.2 points (\u22122.0 to +4.0)", "\u22125.0 points")
    assert (second.title, second.value, second.bound) == (
        "Guard: sensitivity of pit",
        "50.0\u202f% (40.0 to 60.0)",
        "90.0\u202f%",
    )
    assert (third.value, third.bound) == ("", "above 0")


def test_the_flow_adds_up(facts):
    found = answer_flow.flow(facts)
    assert found.wrong == ()
    numbers = [
        int(box.number.replace(",", "")) for box in found.boxes if box.text in ("asked", "right", "wrong", "no answer")
    ]
    for asked, right, wrong, silent in zip(*[iter(numbers)] * 4, strict=True):
        assert asked == right + wrong + silent == 90
    outcomes = facts.comparison["outcomes"] | {"base": {"correct": 3, "wrong": 4}}
    assert answer_flow.flow(with_comparison(facts, outcomes=outcomes)).wrong == (
        "base model: 7 answers for 90 test items",
    )


def test_nothing_is_invented_without_prevalence_and_prices(facts):
    bare = replace(facts.config.evaluate, prevalence={}, costs={})
    unpriced = {
        who: {name: value for name, value in row.items() if name not in ("prevalence", "cost", "usage")}
        for who, row in facts.metrics["models"].items()
    }
    metrics = {"models": unpriced}
    poor = replace(facts, config=replace(facts.config, evaluate=bare), metrics=facts.metrics | metrics)
    assert "was not declared" in costs.declared(poor)
    assert costs.in_use(poor) == costs.prices(poor) == []
    assert "Nothing is assumed" in costs.break_even(poor)


def test_break_even_by_hand(facts):
    """0.0023 - 0.0004 = 0.0019 saved an item; 1,000 / 0.0019 = 526,316 items."""
    assert "after 526,316 items" in costs.break_even(facts)
    dear = replace(facts.config.evaluate, costs={"item": 0.01})
    told = costs.break_even(replace(facts, config=replace(facts.config, evaluate=dear)))
    assert told == "There is no break-even volume: an item costs 0.01 on your own machine and 0.0023 with rival_api."


def test_misses_are_the_other_side_of_sensitivity(facts):
    score = {"value": 0.9, "low": 0.8, "high": 0.95}
    models = facts.comparison["models"] | {"tuned": {"sensitivity": score, "specificity": score}}
    row = costs.mistakes(with_comparison(facts, models=models))[0]
    assert row == {"who": "tuned", "miss": "10.0\u202f% (5.0 to 20.0)", "overkill": "10.0\u202f% (5.0 to 20.0)"}


def test_the_null_band_is_binomial():
    """Ten of ten items at confidence 0.5: 95 % of such bins hold 2 to 8 right answers (binomial tables)."""
    plot = calibration.reliability("tuned", {"bins": [{"n": 10, "confidence": 0.5, "accuracy": 1.0}]})
    heights = [float(point.split(",")[1]) for point in plot.band.split()]
    assert heights == [calibration._y(0.8), calibration._y(0.2)]
    assert "1 outside the 95 % band" in plot.alt


def test_regressions_and_suspects_are_those_of_the_file(facts):
    found = highlights.out(facts)
    kinds = [row["kind"] for row in facts.metrics["regressions"]]
    assert [number for _, number in found.counts] == [
        kinds.count("tuned_wrong_baseline_right"),
        kinds.count("tuned_wrong_base_right"),
    ]
    assert found.all_regressions == len({row["id"] for row in facts.metrics["regressions"]})
    assert [item.id for item in found.suspects] == [row["id"] for row in facts.metrics["suspects"]][:12]
    first = {item.id for item in found.regressions}
    assert all(item.twice == (item.id in first) for item in found.suspects)


def test_leaks_are_left_out(facts):
    """The figures are those of the evaluation; what kinds of leaks there are is told apart."""
    score = {"value": 0.8, "low": 0.7, "high": 0.9}
    rest = {"touched": 2, "n": 88, "models": {"tuned": {"balanced_accuracy": score}, "base": {}}, "pairs": {}}
    kinds = [{"ids": ["a"], "kind": "near"}, {"ids": ["b"]}, {"ids": ["c"], "kind": "near"}]
    leaky = replace(
        facts,
        summary=facts.summary | {"leaks": kinds},
        comparison=facts.comparison | {"without_suspects": rest},
    )
    told = regressions.leaks(leaky)
    assert (told["found"], told["touched"], told["n"]) == (3, 2, 88)
    assert told["kinds"] == "equal pictures 1, nearly equal pictures 2"
    (tuned, base) = told["rows"]
    assert (tuned["who"], tuned["without"].value, tuned["without"].interval) == (
        "tuned",
        "80.0\u202f%",
        "70.0 to 90.0",
    )
    assert tuned["all"].value == f"{100 * facts.comparison['models']['tuned']['balanced_accuracy']['value']:.1f}\u202f%"
    assert (base["without"].value, base["gap_without"].value) == ("\u2013", "")
    assert base["gap"].interval
    assert regressions.leaks(facts)["rows"] == []


def test_every_fact_of_the_deployment_block_says_where_it_is_from(facts):
    found = deployment.aspects(facts)
    assert [row.name for row in found] == ["Privacy", "Cost", "Customisation", "Reliability", "Speed", "Currency"]
    assert all(row.tuned and row.rival for row in found)
    assert {fact.tag for row in found for fact in (*row.tuned, *row.rival)} == {"measured", "config", "human"}
    assert deployment.egress(facts) == []


def test_limits_name_looks_and_small_groups(facts):
    told = " ".join(limits.limits(facts))
    assert "evaluated 3 times under 3 different rules" in told
    assert "The test holds 30 groups" in told
    assert "exploratory" in told


def test_junit_holds_every_criterion(facts):
    rows = [
        {"name": "noninferior", "status": "pass", "value": 0.01, "low": -0.02, "high": 0.04, "bound": -0.05},
        {"name": "guard sensitivity.\x00<pit>", "status": "fail", "value": 0.5, "low": 0.4, "high": 0.6, "bound": 0.9},
        {"name": "floor", "status": "inconclusive", "detail": "too few"},
        {"name": "beats_linear", "status": "not_asked", "detail": "linear was not evaluated"},
    ]
    suites = ElementTree.fromstring(
        junit.render(with_comparison(facts, decision=facts.comparison["decision"] | {"criteria": rows}))
    )
    suite = suites[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    assert suites.get("failures") == "1"
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases][1] == "guard sensitivity.\ufffd<pit>"
    assert [[child.tag for child in case if child.tag != "system-out"] for case in cases] == [
        [],
        ["failure"],
        ["skipped"],
        ["skipped"],
    ]
    assert cases[2].find("skipped").get("message") == "inconclusive: too few"


def test_a_run_without_panels_or_rival_says_so(facts):
    decision = facts.comparison["decision"] | {"rule": {"baseline": None}, "reason": "No proprietary baseline."}
    alone = replace(with_comparison(facts, decision=decision), panels={})
    assert alone.rival is None
    assert verdict_page.front(alone).badge == "No proprietary model compared"
    assert regressions.general(alone) == regressions.refusals(alone) == regressions.references(alone) == []
    assert all(row.rival == () for row in deployment.aspects(alone))
    assert json.loads(json.dumps(read_json(facts.run.comparison)))["decision"]["rule"]["baseline"] == "rival_api"
