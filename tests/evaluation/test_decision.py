"""The verdict on hand-built predictions: what each criterion lets through, and what it does not."""

import pytest
import scripted
from scripted import answers, asked, case, every, rule

from finetune.errors import ConfigError
from finetune.evaluation import comparison

N = 600
ALTERNATING = ["bad" if i % 2 else "good" for i in range(N)]
TUNED = every(N, lambda i: i % 20 == 1)  # 30 wrong, all of them bad parts
SERVICE = every(N, lambda i: i % 20 == 2)  # 30 others


def statuses(found):
    return {row["name"]: row["status"] for row in found["decision"]["criteria"]}


def test_replace_when_every_criterion_holds():
    test = asked(ALTERNATING)
    found = case(test, answers(test, TUNED), answers(test, SERVICE))
    pair, decision = found["pairs"]["tuned-service"], found["decision"]
    assert (pair["b"], pair["c"], pair["n"], pair["difference"]) == (30, 30, 600, 0)
    assert pair["low"] == pytest.approx(-pair["high"])
    assert -0.05 < pair["low"] < -0.02  # 1.96 sqrt(60) / 600 = 2.5 points
    assert pair["p_noninferiority"] < 0.025
    assert (decision["verdict"], decision["qualifier"], decision["needed"]) == ("replace", None, None)
    assert "Every criterion of the rule is met" in decision["reason"]
    assert statuses(found) == {
        **dict.fromkeys(("noninferior", "beats_majority", "both_modes", "failures_as_right"), "pass"),
        **dict.fromkeys(("assay_sensitivity", "coverage", "margin", "fair_baseline"), "pass"),
        **dict.fromkeys(("floor", "beats_linear", "selective_risk"), "not_asked"),
        "certainly_worse": "fail",
    }


def test_superior_and_measurably_worse_are_said_beside_replace():
    test = asked(ALTERNATING)
    worse = every(N, lambda i: i % 20 == 1)
    better = "+" * N
    up = case(test, answers(test, better), answers(test, worse))["decision"]
    down = case(test, answers(test, worse), answers(test, better), rule(0.1))["decision"]
    assert (up["verdict"], up["qualifier"]) == ("replace", "superior")
    assert (down["verdict"], down["qualifier"]) == ("replace", "measurably_worse")


def test_keep_when_the_upper_bound_lies_below_the_margin():
    test = asked(ALTERNATING)
    found = case(test, answers(test, every(N, lambda i: i % 5 == 1)), answers(test, "+" * N))
    pair = found["pairs"]["tuned-service"]
    assert (pair["b"], pair["c"], pair["difference"]) == (0, 120, -0.2)
    assert pair["high"] < -0.05
    assert found["decision"]["verdict"] == "keep"
    assert statuses(found)["noninferior"] == "fail"


def test_in_between_is_not_enough_evidence_and_says_how_much_would_be():
    test = asked(ALTERNATING[:200])
    found = case(test, answers(test, TUNED[:200]), answers(test, SERVICE[:200]), rule(0.03))
    assert found["decision"]["verdict"] == "not_enough_evidence"
    # b = c = 10 of 200: disagreement 10 %, margin 3 points: 873 items
    assert found["decision"]["needed"] == {"items": pytest.approx(873, abs=1)}


def blocked(expected, found):
    assert found["decision"]["verdict"] == "not_enough_evidence"
    assert expected in found["decision"]["reason"]
    return statuses(found)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"evaluate": rule(guards={"sensitivity.bad": {"min_lower": 0.9}})}, "guard sensitivity.bad"),
        ({"evaluate": rule(floor=0.95)}, "floor"),
        ({"generated": "wrong"}, "both_modes"),
        ({"fairness": [{"check": "pixels", "status": "fail", "detail": "512 px against 2048 px"}]}, "fair_baseline"),
        ({"fairness": [{"check": "prompt", "status": "unknown", "detail": "not known"}]}, "fair_baseline"),
        ({"fairness": []}, "fair_baseline"),
    ],
)
def test_one_criterion_that_does_not_hold_is_enough(change, name):
    """The guard: 30 of 300 bad parts missed is 0.90, not certainly above 0.90."""
    test = asked(ALTERNATING)
    if change.get("generated"):
        change = {"generated": answers(test, every(N, lambda i: i % 10 == 1))}
    found = blocked(name, case(test, answers(test, TUNED), answers(test, SERVICE), **change))
    assert found.pop(name) in ("fail", "inconclusive")
    if name.startswith("guard") or name == "floor":  # which are asked of the generated answers too
        assert found.pop("both_modes") == "inconclusive"
    assert found.pop("certainly_worse") in ("fail", "inconclusive")
    assert set(found.values()) <= {"pass", "not_asked"}


def test_a_guard_broken_for_certain_keeps():
    test = asked(ALTERNATING)
    found = case(
        test, answers(test, TUNED), answers(test, SERVICE), rule(guards={"sensitivity": {"bad": {"min_lower": 0.96}}})
    )
    (guard,) = found["guards"]
    assert (guard["name"], guard["who"], guard["value"], guard["n"]) == ("sensitivity.bad", "tuned", 0.9, 300)
    assert guard["upper"] < 0.96
    assert (guard["status"], guard["needed"], found["decision"]["verdict"]) == ("fail", None, "keep")


@pytest.mark.parametrize(("positives", "status"), [(35, "inconclusive"), (36, "pass")])
def test_zero_misses_need_36_positives(positives, status):
    test = asked(["bad"] * positives + ["good"] * 564)
    evaluate = rule(guards={"sensitivity.bad": {"min_lower": 0.9}})
    found = case(test, answers(test, "+" * len(test.examples)), answers(test, "+" * len(test.examples)), evaluate)
    assert found["guards"][0]["status"] == status
    assert found["guards"][0]["needed"] == (None if status == "pass" else 36)


def test_zero_misses_of_eight_prove_nothing():
    """A bootstrap would call the sensitivity 1.00 and let it pass."""
    test = asked(["bad"] * 8 + ["good"] * 392)
    evaluate = rule(guards={"sensitivity.bad": {"min_lower": 0.9}})
    found = case(test, answers(test, "+" * 400), answers(test, "-+" * 4 + "+" * 392), evaluate)
    guard = found["guards"][0]
    assert (guard["value"], guard["n"], guard["needed"]) == (1.0, 8, 36)
    assert guard["lower"] == pytest.approx(0.025 ** (1 / 8))  # 0.63
    assert statuses(found)["guard sensitivity.bad"] == "inconclusive"
    assert found["decision"]["verdict"] == "not_enough_evidence"
    assert found["decision"]["needed"] == {"items": 1800}  # 36 of 8 in 400


def test_no_disagreement_on_six_items_proves_nothing():
    """A bootstrap of b = c = 0 gives [0, 0]."""
    test = asked(["bad", "good"] * 3)
    found = case(test, answers(test, "+" * 6), answers(test, "+" * 6), rule(0.5))
    pair = found["pairs"]["tuned-service"]
    assert (pair["b"], pair["c"], pair["high"]) == (0, 0, pytest.approx(3.8415 / 9.8415, abs=1e-4))
    assert pair["low"] > -0.5  # the bound alone would let it pass
    assert not pair["enough"]
    assert statuses(found)["noninferior"] == "inconclusive"
    assert found["decision"]["verdict"] == "not_enough_evidence"


@pytest.mark.parametrize("wins", [True, False])
def test_fourteen_groups_of_five_prove_nothing_in_either_direction(wins):
    golds = ["bad" if i % 2 else "good" for i in range(70)]
    test = asked(golds, [f"part{i // 5:02d}" for i in range(70)])
    mostly = every(70, lambda i: i % 5 == 0)
    rarely = every(70, lambda i: i % 5 != 0)
    tuned, service = (mostly, rarely) if wins else (rarely, mostly)
    found = case(test, answers(test, tuned), answers(test, service))
    pair = found["pairs"]["tuned-service"]
    assert (pair["groups"], pair["enough"]) == (14, False)
    assert pair["low"] > 0 if wins else pair["high"] < -0.05
    assert found["decision"]["verdict"] == "not_enough_evidence"
    assert "14" in found["decision"]["reason"]


def test_failures_of_the_baseline_cannot_win_the_argument():
    """Refusals count as wrong in operation; were they right, the tuned model would be worse."""
    test = asked(ALTERNATING)
    service = every(N, lambda i: i % 12 == 1, "r")
    found = case(test, answers(test, every(N, lambda i: i % 12 == 3)), answers(test, service))
    assert statuses(found)["noninferior"] == "pass"
    assert statuses(found)["failures_as_right"] == "fail"
    blocked("failures_as_right", found)


def test_missing_answers_are_left_out_and_counted_and_counted_as_right_for_the_baseline():
    test = asked(ALTERNATING)
    service = every(N, lambda i: i % 12 == 1, "e")
    found = case(test, answers(test, "+" * N), answers(test, service), rule(0.02))
    pair, flow = found["pairs"]["tuned-service"], found["flow"]["service"]
    assert (pair["n"], pair["excluded"], pair["b"], pair["c"]) == (550, 50, 0, 0)
    assert (flow["asked"], flow["answered"], flow["api_error"], flow["left_out_of_pairs"]) == (600, 550, 50, 50)
    assert found["models"]["service"]["accuracy"]["value"] == 1  # not wrong: unknown
    assert found["bands"]["service"] == {"low": pytest.approx(550 / 600), "high": 1}
    right = next(row for row in found["decision"]["criteria"] if row["name"] == "failures_as_right")
    assert (right["status"], right["value"]) == ("pass", 0)
    assert found["decision"]["verdict"] == "replace"
    worse = case(test, answers(test, every(N, lambda i: i % 12 == 1)), answers(test, service), rule(0.02))
    assert statuses(worse)["noninferior"] == "pass"
    assert statuses(worse)["failures_as_right"] == "fail"


def test_below_the_coverage_floor_there_is_no_verdict():
    test = asked(ALTERNATING)
    for tuned, service in ((TUNED, every(N, lambda i: i % 9 == 0, "t")), (every(N, lambda i: i % 9 == 0, "u"), TUNED)):
        found = blocked("Too few questions", case(test, answers(test, tuned), answers(test, service), rule(0.5)))
        assert found["coverage"] == "fail"


def test_matching_a_baseline_that_guesses_proves_nothing():
    test = asked(ALTERNATING)
    service = every(N, lambda i: i % 4 < 2)  # right half of the time in either class
    found = blocked(
        "not proven that the baseline beats chance", case(test, answers(test, TUNED), answers(test, service))
    )
    assert found["noninferior"] == "pass"
    assert found["assay_sensitivity"] in ("inconclusive", "fail")


def test_better_than_the_majority_or_no_replacement():
    """98 % good: always `good` is as accurate as the tuned model, which finds half of the bad parts."""
    golds = ["bad" if i % 50 == 0 else "good" for i in range(2000)]
    test = asked(golds)
    tuned = every(2000, lambda i: i % 100 in (0, 1))
    found = case(test, answers(test, tuned), answers(test, tuned))
    assert statuses(found)["noninferior"] == "pass"
    assert statuses(found)["beats_majority"] == "inconclusive"
    blocked("beats_majority", found)


def test_the_majority_and_the_linear_model_as_asked():
    test = asked(ALTERNATING)
    tuned, service = answers(test, TUNED), answers(test, SERVICE)
    without = comparison.compare(
        test, {"tuned": tuned, "service": service}, {"tuned": tuned}, rule(), baseline="service"
    )
    assert statuses(without)["beats_majority"] == "inconclusive"
    assert without["decision"]["verdict"] == "not_enough_evidence"
    models = {"tuned": tuned, "service": service, "majority": scripted.constant(test, "good"), "linear": service}
    equal = comparison.compare(test, models, {"tuned": tuned}, rule(), baseline="service")
    assert statuses(equal)["beats_linear"] == "inconclusive"
    assert equal["decision"]["verdict"] == "not_enough_evidence"


def test_without_a_margin_there_is_no_rule():
    test = asked(ALTERNATING)
    found = case(test, answers(test, TUNED), answers(test, every(N, lambda i: i % 2 == 0)), rule(None))
    states = blocked("No margin was declared", found)
    assert (states["noninferior"], states["margin"]) == ("not_asked", "not_asked")
    assert found["pairs"]["tuned-service"]["p_noninferiority"] is None


def test_without_a_baseline_what_training_bought_is_said():
    test = asked(ALTERNATING)
    models = {"tuned": answers(test, TUNED), "base": answers(test, every(N, lambda i: i % 3 == 0))}
    found = comparison.compare(test, models, {}, rule())
    assert "No proprietary baseline was evaluated" in found["decision"]["reason"]
    assert "The tuned model is better than its base" in found["decision"]["reason"]
    absent = comparison.compare(test, models, {}, rule(), baseline="gpt")
    assert "gpt was not evaluated (evaluate.models)" in absent["decision"]["reason"]
    (row,) = (row for row in absent["decision"]["criteria"] if row["name"] == "baseline_compared")
    assert (row["status"], row["detail"]) == ("inconclusive", "gpt not evaluated")
    assert row["needed_for"] == ("replace", "replace_with_review", "keep")


def test_with_review_only_below_the_target_for_certain():
    """Sure answers are right, unsure ones wrong in one case of two; validation sets the threshold."""
    test = asked(ALTERNATING)
    wrong = every(N, lambda i: i % 4 == 1)  # 150 wrong, 300 sure ones all right
    chances = [0.95 if i % 4 in (0, 2) else 0.6 for i in range(N)]
    tuned = answers(test, wrong, chances)
    service = answers(test, SERVICE)
    more = {"validation": {"tuned": tuned[:200]}}
    found = case(test, tuned, service, rule(risk_target=0.05), **more)
    review = next(row for row in found["decision"]["criteria"] if row["name"] == "selective_risk")
    assert (review["status"], review["value"]) == ("pass", 0)
    assert review["high"] == pytest.approx(1 - 0.025 ** (1 / 300))
    assert "50.0 % are answered by the model" in review["detail"]
    assert found["decision"]["verdict"] == "replace_with_review"
    strict = case(test, tuned, service, rule(risk_target=0.01), **more)  # 300 without an error: at most 1.2 %
    assert statuses(strict)["selective_risk"] == "inconclusive"
    assert strict["decision"]["verdict"] == "keep"
    blind = case(test, tuned, service, rule(risk_target=0.05))
    assert statuses(blind)["selective_risk"] == "inconclusive"


def test_a_rule_is_known_by_its_digest():
    test = asked(ALTERNATING[:40])
    one, two = (answers(test, TUNED[:40]), answers(test, SERVICE[:40]))
    digests = {
        case(test, one, two, changed)["decision"]["rule_sha256"]
        for changed in (rule(), rule(), rule(0.06), rule(guards={"accuracy": {"min_lower": 0.5}}), rule(threshold=0.4))
    }
    assert len(digests) == 4


def test_sensitivity_needs_to_know_whose():
    test = asked(ALTERNATING[:4], metric="sensitivity", positive=None)
    with pytest.raises(ConfigError, match=r"evaluate\.decision\.metric=sensitivity needs evaluate\.positive"):
        comparison.compare(test, {"tuned": answers(test, "++++")}, {}, rule())
