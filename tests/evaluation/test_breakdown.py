"""What lies behind the headline, on numbers worked out by hand."""

import pytest
from scripted import answers, asked, every, rule

from finetune.evaluation import breakdown

GOLDS = ["bad"] * 4 + ["good"] * 6
TEST = asked(GOLDS, meta=[{"site": "north" if i % 2 else "south"} for i in range(10)])


def test_predictive_values_at_the_share_in_use():
    """3 of 4 bad parts found, 1 of 6 good ones called bad; of a thousand parts 100 are bad."""
    evaluate = rule(prevalence={"bad": 0.1, "good": 0.9}, costs={"miss": 100.0, "false_alarm": 2.0, "item": 0.01})
    found = breakdown.in_use(TEST, answers(TEST, "-++++++++-"), evaluate)
    told = found["prevalence"]
    assert told["ppv"] == pytest.approx(0.075 / (0.075 + 0.15))
    assert told["npv"] == pytest.approx(0.75 / (0.75 + 0.025))
    assert (told["overkill"], told["miss"], told["review"]) == pytest.approx((0.15, 0.025, 0))
    assert found["cost"]["per_thousand"] == pytest.approx(25 * 100 + 150 * 2 + 10)
    assert breakdown.in_use(TEST, answers(TEST, "+" * 10), rule()) == {}  # nothing is invented


def test_everything_is_counted_at_the_declared_threshold_but_what_was_said():
    """Every good part is called good at 0.7; where bad counts from 0.3 on, with bad at exactly 0.3, all are flagged."""
    said = answers(TEST, "+" * 10, [0.9] * 4 + [0.7] * 6)
    service, evaluate = (
        answers(TEST, "+" * 10, [0.7] * 10),
        rule(threshold=0.2999, prevalence={"bad": 0.1, "good": 0.9}),
    )
    models = {"tuned": said, "service": service}
    found = breakdown.everything(TEST, models, {}, evaluate, baseline="service")
    tuned = found["models"]["tuned"]
    assert tuned["confusion"]["rows"] == [[4, 0, 0], [6, 0, 0]]
    assert (tuned["prevalence"]["overkill"], tuned["prevalence"]["ppv"]) == pytest.approx((0.9, 0.1))
    assert tuned["selective"]["curve"][-1] == [1.0, 0.6]
    assert found["models"]["service"]["confusion"]["rows"] == [[4, 0, 0], [0, 6, 0]]
    assert (found["suspects"], found["regressions"]) == ([], [])


def test_what_is_not_answered_goes_to_review():
    evaluate = rule(prevalence={"bad": 0.5, "good": 0.5}, costs={"review": 10.0})
    found = breakdown.in_use(TEST, answers(TEST, "u+++++++++"), evaluate)
    assert found["prevalence"]["review"] == pytest.approx(0.125)
    assert found["prevalence"]["miss"] == 0
    assert found["cost"] == {"per_thousand": pytest.approx(1250), "parts": {"review": pytest.approx(1250)}}


def test_subgroups_are_flagged_where_they_are_small():
    models = {"tuned": answers(TEST, "-+++++++++"), "base": answers(TEST, "e+++++++++")}
    south, north = sorted(breakdown.subgroups(TEST, models, ["site"]), key=lambda row: row["value"], reverse=True)
    assert (south["value"], south["n"], south["groups"], south["small"]) == ("south", 5, 5, True)
    assert south["tuned"]["accuracy"]["value"] == 0.8
    assert south["tuned"]["sensitivity"]["value"] == 0.5  # i0000 missed, i0002 found
    assert south["base"]["sensitivity"]["value"] == 1  # i0000 was never answered
    assert north["tuned"]["specificity"]["value"] == 1
    (absent,) = breakdown.subgroups(TEST, models, ["lens"])
    assert (absent["value"], absent["n"]) == (None, 10)


def test_regressions_and_suspects():
    chances = [0.99, 0.6, *([0.9] * 8)]
    models = {
        "tuned": answers(TEST, "--++++++e+", chances),
        "base": answers(TEST, "+-+++++++-"),
        "service": answers(TEST, "++++++++++"),
    }
    assert breakdown.regressions(models, "tuned", "service") == [
        {"id": "i0000", "kind": "tuned_wrong_base_right"},
        {"id": "i0000", "kind": "tuned_wrong_baseline_right"},
        {"id": "i0001", "kind": "tuned_wrong_baseline_right"},
    ]
    first, second = breakdown.suspects(models["tuned"])
    assert (first["id"], first["gold"], first["answer"], first["probability"]) == (
        "i0000",
        "bad",
        "good",
        pytest.approx(0.01),
    )
    assert second["id"] == "i0001"


def test_calibration_takes_its_temperature_from_validation():
    """Validation says 0.9 and is right in 9 of 10: T = 1. A test that says 0.9 and is always right: Brier 2 x 0.01."""
    validation = answers(asked(GOLDS), every(10, lambda i: i == 3), [0.9] * 10)
    found = breakdown.calibration(TEST, answers(TEST, "+" * 10, [0.9] * 10), validation)["calibration"]
    assert found["temperature"] == pytest.approx(1, abs=1e-3)
    assert found["brier"] == pytest.approx(0.02, abs=1e-4)
    assert (found["slope"], found["intercept"]) == (None, None)
    assert found["ece"] == pytest.approx(0.1, abs=1e-3)
    alone = breakdown.calibration(TEST, answers(TEST, "+" * 10, [0.9] * 10), ())["calibration"]
    assert alone["temperature"] is None
    assert breakdown.calibration(TEST, answers(TEST, "+" * 10), ()) == {}


def test_missing_answers_are_in_no_confusion_table():
    found = breakdown.detail(TEST, answers(TEST, "e-u+++++++"))
    assert found["confusion"]["rows"] == [[1, 1, 1], [0, 6, 0]]
    assert (found["n"], found["outcomes"]["api_error"]) == (10, 1)
    assert found["classes"]["bad"]["n"] == 3


def test_a_risk_coverage_curve():
    chances = [0.9, 0.8, 0.7, *([0.6] * 7)]
    found = breakdown.selective(answers(TEST, "+-++++++++", chances), (), None)["selective"]
    assert found == {"curve": [[0.1, 0], [0.2, 0.5], [0.3, pytest.approx(1 / 3)], [1, pytest.approx(0.1)]]}
