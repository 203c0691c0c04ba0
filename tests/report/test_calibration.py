"""Plots of confidence: dots, bands and targets stand where a ruler would put them; figures come with their names."""

import pytest
from report import bare

from finetune.config.schema import Config, ModelConfig, TrainConfig
from finetune.report import calibration

LEFT, TOP, SIDE = calibration.LEFT, calibration.TOP, calibration.SIDE


def bin_of(n, sure, right):
    return {"n": n, "confidence": sure, "accuracy": right}


def places(text):
    return [tuple(map(float, point.split(","))) for point in text.split()]


def test_a_bin_stands_at_its_confidence_and_its_share_right():
    plot = calibration.reliability("tuned", {"bins": [bin_of(40, 0.75, 0.5)]})
    ((x, y, radius, text),) = plot.dots
    assert (x, y) == (LEFT + 0.75 * SIDE, TOP + 0.5 * SIDE)
    assert radius == 6.0
    assert text == f"40 items: confidence 75.0{bare.NARROW}%, right 50.0{bare.NARROW}%"
    assert places(plot.line) == [(x, y)]
    assert plot.level is None


def test_dots_grow_with_the_root_of_their_items():
    """A quarter of the items is half of the growth: 2.5 + 3.5 / 2 = 4.25."""
    plot = calibration.reliability("tuned", {"bins": [bin_of(100, 0.9, 0.9), bin_of(25, 0.6, 0.6)]})
    assert [dot[2] for dot in plot.dots] == [6.0, 4.2]


def test_empty_bins_are_left_out():
    plot = calibration.reliability("base", {"bins": [bin_of(0, 0.1, 0.0), bin_of(10, 0.9, 0.9)]})
    assert len(plot.dots) == 1
    assert plot.alt == "base model: share right against confidence, 1 bins, 0 outside the 95 % band"
    nothing = calibration.reliability("base", {})
    assert (nothing.dots, nothing.band, nothing.line) == ((), "", "")


@pytest.mark.parametrize(
    ("n", "sure", "right", "outside"),
    [
        (10, 0.5, 0.8, 0),  # 2 to 8 of 10 are within
        (10, 0.5, 0.9, 1),
        (10, 0.5, 0.1, 1),
        (20, 0.5, 0.7, 0),  # 6 to 14 of 20
        (20, 0.5, 0.75, 1),
        (5, 1.0, 1.0, 0),  # certainty allows nothing else
        (5, 1.0, 0.8, 1),
        (5, 1.0000001, 1.0, 0),  # sums of probabilities may be a hair over 1
    ],
)
def test_what_is_outside_the_band(n, sure, right, outside):
    plot = calibration.reliability("tuned", {"bins": [bin_of(n, sure, right)]})
    assert f"{outside} outside the 95 % band" in plot.alt


def test_the_band_goes_round_once():
    bins = [bin_of(10, 0.5, 0.5), bin_of(10, 0.8, 0.8)]
    corners = places(calibration.reliability("tuned", {"bins": bins}).band)
    assert [x for x, _ in corners] == [LEFT + share * SIDE for share in (0.5, 0.8, 0.8, 0.5)]
    assert corners[0][1] < corners[3][1]  # upper edge first; y counts downwards


def test_figures_of_a_calibration():
    found = {
        "bins": [bin_of(10, 0.5, 0.5)],
        "ece": {"value": 0.0512, "low": 0.01, "high": 0.1},
        "ece_null": [0.011, 0.0734],
        "brier": 0.12,
        "slope": {"value": -0.5},
        "intercept": 0.25,
        "temperature": None,
    }
    ((row),) = calibration.calibrations(bare.facts(metrics=bare.models(tuned={"calibration": found}, base={})))
    assert row["who"] == "tuned"
    assert row["facts"] == [
        ("Calibration error, 10 bins", "0.051"),
        ("the same if perfectly calibrated", "0.011 to 0.073"),
        ("Brier score", "0.120"),
        ("Slope, intercept (ideal 1, 0)", f"{bare.MINUS}0.500, 0.250"),
    ]


@pytest.mark.parametrize(
    ("train", "adapter", "said"),
    [
        ({"balance": True}, None, True),
        ({"class_weights": {"pit": 3.0}}, None, True),
        ({}, None, False),
        ({"balance": True}, "elsewhere", False),
    ],
)
def test_a_probability_below_one_half_beside_an_answer_is_explained(train, adapter, said):
    """Where a training counted labels evenly; of a foreign adapter nobody knows how it was trained."""
    found = bare.models(tuned={"calibration": {"bins": []}}, base={"calibration": {"bins": []}})
    config = Config(train=TrainConfig(**train), model=ModelConfig(adapter=adapter))
    notes = {row["who"]: row["note"] for row in calibration.calibrations(bare.facts(metrics=found, config=config))}
    assert notes == {"tuned": calibration.SHIFTED if said else "", "base": ""}


def test_half_a_pair_is_no_figure():
    found = {"slope": 1.0, "intercept": None, "log_loss": 0.3}
    assert calibration._calibration_facts(found) == [("Log loss", "0.300")]


def curve(*risks):
    return [[(n + 1) / len(risks), risk] for n, risk in enumerate(risks)]


@pytest.mark.parametrize(
    ("largest", "target", "top"),
    [
        (0.0, None, 0.02),
        (0.02, None, 0.02),
        (0.021, None, 0.05),
        (0.03, 0.1, 0.1),
        (0.39, 0.1, 0.4),
        (0.7, None, 0.8),
        (1.0, None, 1.0),
    ],
)
def test_the_axis_of_risk_ends_above_the_largest(largest, target, top):
    plot = calibration.risk_coverage("tuned", {"curve": curve(0.0, largest), "target": target})
    assert plot.y_ticks[-1] == (float(TOP), f"{100 * top:.1f}{bare.NARROW}%")
    assert plot.y_ticks[0] == (float(TOP + SIDE), f"0.0{bare.NARROW}%")
    assert all(TOP <= y <= TOP + SIDE for _, y in places(plot.line))
    assert (plot.level is None) == (target is None)


def test_target_and_threshold_stand_on_the_axis_of_risk():
    """The axis ends at 20 %: a target of 5 % is a quarter up, a risk of 10 % half."""
    found = {"curve": curve(0.05, 0.2), "target": 0.05, "threshold": 0.91, "coverage": {"value": 0.5}, "risk": 0.1}
    plot = calibration.risk_coverage("tuned", found)
    assert plot.level == TOP + 0.75 * SIDE
    assert plot.dots == ((LEFT + 0.5 * SIDE, TOP + 0.5 * SIDE, 5.0, "the frozen threshold"),)
    assert calibration.risk_coverage("tuned", found | {"threshold": None}).dots == ()


@pytest.mark.parametrize("count", [1, 2, 200, 201, 399, 450, 1000, 5000])
def test_long_curves_keep_the_point_at_which_all_are_answered(count):
    found = {"curve": curve(*([0.01] * (count - 1)), 0.3)}
    plot = calibration.risk_coverage("tuned", found)
    line = places(plot.line)
    assert len(line) <= calibration.MOST_POINTS + 1
    assert line[-1][0] == LEFT + SIDE
    assert plot.alt.endswith(f"; 30.0{bare.NARROW}% when all are")


def test_models_without_a_curve_are_left_out():
    details = {"tuned": {"selective": {"curve": curve(0.1)}}, "base": {"selective": {"curve": []}}, "rival": {}}
    assert [row["who"] for row in calibration.selections(bare.facts(metrics=bare.models(**details)))] == ["tuned"]


def test_a_threshold_in_figures():
    found = {"threshold": 0.9, "coverage": {"value": 0.62}, "risk": 0.011, "upper": 0.048, "target": 0.05}
    assert calibration._selective_facts(found | {"status": "pass"}) == [
        ("Answered without review", f"62.0{bare.NARROW}%"),
        ("Errors among those", f"1.1{bare.NARROW}%"),
        ("upper bound, one-sided 97.5 %", f"4.8{bare.NARROW}%"),
        ("Largest error accepted", f"5.0{bare.NARROW}%"),
        ("Threshold, frozen on validation", "0.900"),
        ("Finding", "pass"),
    ]


def test_without_a_threshold_the_reason_is_said():
    found = {"threshold": None, "target": 0.01, "coverage": 1.0, "detail": "validation holds 40 items"}
    assert calibration._selective_facts(found) == [
        ("Largest error accepted", f"1.0{bare.NARROW}%"),
        ("No threshold", "validation holds 40 items"),
    ]
    assert calibration._selective_facts({}) == []
