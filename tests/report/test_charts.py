"""Geometry by hand: a point that stands in the wrong place is a wrong number."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import bare

from finetune.report import charts


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-8, 5, 6, [-10, -5, 0, 5]),
        (-0.3, 0.3, 5, [-0.4, -0.2, 0, 0.2, 0.4]),
        (0, 1500, 5, [0, 500, 1000, 1500]),
        (3, 3, 5, [3.0, 3.2, 3.4, 3.6, 3.8, 4.0]),
        (0, 0, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_by_hand(low, high, count, expected):
    assert charts.ticks(low, high, count) == pytest.approx(expected)


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-4, 1e6),
    st.integers(2, 10),
)
def test_ticks_cover_and_are_few(low, span, count):
    found = charts.ticks(low, low + span, count)
    slack = 1e-9 * max(1.0, abs(low) + span)
    assert found[0] <= low + slack
    assert found[-1] >= low + span - slack
    assert 2 <= len(found) <= count + 3
    assert all(first < second for first, second in itertools.pairwise(found))


@pytest.mark.parametrize("value", [0.0, 1.0, 83.33, 100.0, -2.5, 1e-12])
def test_a_curve_that_never_moves_can_be_drawn(value):
    """A model that has no item of the validation right, at any step, is a curve at 0."""
    plot = charts.curve("Validation accuracy, %", "step", {"training": [(0.0, value), (10.0, value)]})
    points = [tuple(map(float, point.split(","))) for point in plot.lines[0][1].split()]
    assert points[0][1] == points[1][1]
    assert charts.TOP <= points[0][1] <= charts.PLOT_HEIGHT - charts.BOTTOM
    assert len(plot.y_ticks) >= 2


def test_points_of_a_curve_by_hand():
    """0..10 across 402 units from 46, 0..100 down 188 units from 12."""
    plot = charts.curve("t", "step", {"a": [(0.0, 0.0), (5.0, 50.0), (10.0, 100.0)]})
    assert plot.lines == (("a", "46.0,200.0 247.0,106.0 448.0,12.0"),)
    assert (plot.width, plot.height) == (460, 230)
    assert [text for _, text in plot.x_ticks] == ["0", "2", "4", "6", "8", "10"]
    assert plot.x_ticks[0][0] == 46.0
    assert plot.x_ticks[-1][0] == 448.0
    assert [text for _, text in plot.y_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert plot.y_ticks[0][0] == 200.0


def test_only_the_best_point_is_marked():
    series = {"a": [(1.0, 70.0), (2.0, 81.25), (3.0, 80.0)]}
    plot = charts.curve("t", "step", series, best=2.0)
    assert [text for *_, text in plot.markers] == ["81.2"]
    assert charts.curve("t", "step", series).markers == ()
    assert charts.curve("t", "step", series, best=9.0).markers == ()


def test_lines_of_several_folds_share_the_axes():
    plot = charts.curve("t", "step", {"fold 0": [(0.0, 1.0)], "fold 1": [(4.0, 3.0)]})
    assert [name for name, _ in plot.lines] == ["fold 0", "fold 1"]
    assert plot.x_ticks[-1][1] == "4"


@given(st.lists(st.integers(0, 99).map(lambda n: (float(n), 0.0)), max_size=60), st.integers(1, 20))
def test_thinning_keeps_ends_and_order(line, most):
    thin = charts.thinned(line, most)
    assert len(thin) <= most + 1
    assert thin[:1] == line[:1]
    assert thin[-1:] == line[-1:]
    assert all(point in line for point in thin)


def test_a_short_line_is_not_thinned():
    assert charts.thinned([(1.0, 1.0), (2.0, 2.0)], 2) == [(1.0, 1.0), (2.0, 2.0)]
    assert charts.thinned([]) == []


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_smoothing_stays_within_what_it_smooths(values):
    found = charts.smoothed(values)
    assert len(found) == len(values)
    assert found[0] == pytest.approx(values[0])
    assert all(min(values) - 1e-6 <= value <= max(values) + 1e-6 for value in found)


@pytest.mark.parametrize(
    ("rows", "shades"),
    [
        ([[8, 2], [0, 5]], [[8, 2], [0, 10]]),
        ([[0, 0], [1, 2]], [[0, 0], [3, 7]]),
        ([], []),
    ],
)
def test_shades_are_tenths_of_the_row(rows, shades):
    assert charts.heat(rows) == shades


def test_dots_of_the_interval_plot():
    models = {
        "tuned": {"accuracy": bare.score(0.8, 0.7, 0.85), "sensitivity": {"value": None, "low": None, "high": None}},
        "base": {"accuracy": {"value": 0.5, "low": None, "high": None}},
    }
    found = charts.intervals(bare.comparison(models=models), ["accuracy", "sensitivity", "macro_f1"], ["tuned", "base"])
    (panel, empty, absent) = found
    assert (panel.key, panel.name, empty.dots, absent.dots) == ("accuracy", "Accuracy", (), ())
    (dot,) = panel.dots
    assert (dot.who, dot.x, dot.low, dot.high) == ("tuned", 800.0, 700.0, 850.0)
    assert dot.text == f"80.0{bare.NARROW}% (70.0 to 85.0)"


def test_differences_against_zero_and_margin_by_hand():
    """-2..40 points with a margin of 5 (so from -8): the axis runs from -10 to 40."""
    found = charts.differences(bare.comparison(), ["tuned", "rival", "base"], 0.05)
    assert [text for _, text in found.ticks] == [f"{bare.MINUS}10", "0", "+10", "+20", "+30", "+40"]
    assert (found.zero, found.margin) == (pytest.approx(200), pytest.approx(100))
    assert [row.who for row in found.rows] == ["rival", "base"]
    first = found.rows[0]
    assert (first.x, first.low, first.high) == (pytest.approx(400), pytest.approx(160), pytest.approx(640))
    assert first.text == f"+10.0 ({bare.MINUS}2.0 to +22.0)"


def test_differences_without_a_margin_or_without_pairs():
    assert charts.differences(bare.comparison(), ["base"], None).margin is None
    assert charts.differences(bare.comparison(pairs={}), ["tuned", "base"], 0.05) is None


def test_zero_is_on_the_axis_wherever_the_differences_are():
    for low, high in ((0.31, 0.4), (-0.4, -0.31), (0.0, 0.0)):
        found = charts.differences(bare.comparison(pairs={"tuned-base": bare.pair(low, low, high)}), ["base"], None)
        assert 0 <= found.zero <= charts.AXIS_WIDTH
        assert all(0 <= row.low <= row.high <= charts.AXIS_WIDTH for row in found.rows)
