"""Proper scores by hand, the recalibration line against statsmodels, and what chance makes of a calibrated model."""

import math

import numpy as np
import pytest
import statsmodels.api
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from finetune import stats

TWO = [[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]]


def test_proper_scores_by_hand() -> None:
    """Brier .04 + .04, .36 + .36, .25 + .25; log loss of .8, .4, .5."""
    assert stats.brier(TWO, [0, 0, 1]) == pytest.approx((0.08 + 0.72 + 0.5) / 3)
    assert stats.log_loss(TWO, [0, 0, 1]) == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.5)) / 3)
    assert stats.log_loss([[1.0, 0.0]], [1]) == pytest.approx(-math.log(1e-12))


def test_ece_by_hand() -> None:
    """Two bins of three: |2/3 - .6| and |1 - .9| weigh alike."""
    p, hits = [0.9, 0.5, 0.8, 0.6, 1.0, 0.7], [True, True, True, False, True, True]
    found = stats.ece(p, hits, bins=2)
    assert found.plain == pytest.approx((abs(2 / 3 - 0.6) + 0.1) / 2)
    assert [(b.n, b.right.value) for b in stats.reliability(p, hits, bins=2)] == [(3, pytest.approx(2 / 3)), (3, 1.0)]
    assert stats.reliability(p, hits, bins=2)[0].right == stats.wilson(2, 3)


@pytest.mark.parametrize(("n", "shown"), [(63, 0.11), (300, 0.051), (600, 0.036)])
def test_what_a_perfectly_calibrated_model_shows(n: int, shown: float) -> None:
    """Confidences between .65 and 1. About sqrt(2 / pi) x mean sqrt(p (1 - p)) / sqrt(n / 10): .111, .051, .036."""
    confidence = 0.65 + 0.35 * (np.arange(5_000) + 0.5) / 5_000
    band = stats.ece_null_band(confidence, n, bins=10, seed=1)
    assert band.value == pytest.approx(shown, abs=0.004 if n == 63 else 0.001)
    assert band.low < band.value < band.high


def test_debiased_error_is_small_for_a_calibrated_model_and_not_for_another() -> None:
    random = np.random.default_rng(3)
    p = random.uniform(0.65, 1, 600)
    good, bad = stats.ece(p, random.random(600) < p), stats.ece(p, random.random(600) < p - 0.2)
    assert good.null.low < good.plain < good.null.high
    assert good.debiased < 0.02
    assert bad.plain > bad.null.high
    assert bad.debiased == pytest.approx(0.2, abs=0.05)
    assert stats.ece(p, [True] * 600, seed=4) == stats.ece(p, [True] * 600, seed=4)


def test_nothing_to_calibrate() -> None:
    assert stats.ece([], []) == stats.Ece(0.0, 0.0, stats.Score(0.0, 0.0, 1.0))
    assert stats.reliability([], []) == []
    assert stats.fit_temperature(np.empty((0, 2)), []) == 1.0


def test_slope_and_intercept_are_those_of_logistic_regression() -> None:
    random = np.random.default_rng(2)
    p = random.uniform(0.05, 0.95, 400)
    hits = random.random(400) < special.expit(0.5 * special.logit(p) - 0.4)
    line = statsmodels.api.GLM(
        hits.astype(float), statsmodels.api.add_constant(special.logit(p)), family=statsmodels.api.families.Binomial()
    ).fit()
    shift = statsmodels.api.GLM(
        hits.astype(float), np.ones(400), offset=special.logit(p), family=statsmodels.api.families.Binomial()
    ).fit()
    assert stats.slope_intercept(p, hits) == pytest.approx((line.params[1], shift.params[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("p", "hits"),
    [
        ([0.9, 0.8], [True, True]),
        ([0.9, 0.8], [False, False]),
        ([0.2, 0.9], [False, True]),
        ([0.5, 0.5], [True, False]),
    ],
)
def test_no_line_through_what_does_not_overlap(p: list[float], hits: list[bool]) -> None:
    assert stats.slope_intercept(p, hits) is None


def test_temperature_is_recovered() -> None:
    random = np.random.default_rng(7)
    truth = np.log(random.dirichlet([1.0, 1.0, 1.0], 3_000))
    gold = [int(random.choice(3, p=np.exp(row))) for row in truth]
    assert stats.fit_temperature(2.5 * truth, gold) == pytest.approx(2.5, abs=0.15)
    assert stats.apply_temperature(2.5 * truth, 2.5) == pytest.approx(np.exp(truth))


def test_temperature_of_a_sample_without_an_error_stays_within_bounds() -> None:
    assert 0.05 <= stats.fit_temperature([[0.0, -1.0]] * 5, [0] * 5) < 0.08
    assert stats.fit_temperature([[0.0, -1.0]] * 5, [1] * 5) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize(
    ("row", "expected"),
    [([0.0, 0.0], 1.0), ([0.0, -math.inf], 1.0), ([0.0, -27.6], 1.0), ([5.0, 5.0], 1.0)],
)
def test_of_temperatures_that_do_as_well_the_one_nearest_to_1_is_taken(row: list[float], expected: float) -> None:
    """Else two searches for the best one end anywhere, and `verify` would see an altered number."""
    assert stats.fit_temperature([row] * 8, [0] * 8) == pytest.approx(expected, abs=1e-3)


def test_items_of_one_probability_are_in_one_bin() -> None:
    """200 items at 0.6 of which 120 are hits are calibrated, in whatever order the file has them."""
    sorted_by_class, mixed = [True] * 120 + [False] * 80, [True, True, True, False, False] * 40
    for hits in (sorted_by_class, mixed, sorted_by_class[::-1]):
        assert stats.ece([0.6] * 200, hits).plain == pytest.approx(0)
        assert [(one.n, one.right.value) for one in stats.reliability([0.6] * 200, hits)] == [(200, 0.6)]
    half = stats.reliability([0.2] * 3 + [0.9] * 3, [True, False, False, True, True, True], 2)
    assert [one.n for one in half] == [3, 3]
    assert [one.n for one in stats.reliability([0.2] * 2 + [0.9] * 4, [True] * 6, 2)] == [2, 4]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.integers(1, 12))
def test_ece_is_a_share_and_does_not_depend_on_order(rows: list[tuple[float, bool]], bins: int) -> None:
    plain = stats.ece([p for p, _ in rows], [hit for _, hit in rows], bins).plain
    assert 0 <= plain <= 1
    back = stats.ece([p for p, _ in rows[::-1]], [hit for _, hit in rows[::-1]], bins)
    assert back.plain == pytest.approx(plain)
    assert sum(b.n for b in stats.reliability([p for p, _ in rows], [hit for _, hit in rows], bins)) == len(rows)


def test_temperature_does_not_change_the_answer() -> None:
    logprobs = np.log([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    for temperature in (0.1, 1.0, 9.0):
        scaled = stats.apply_temperature(logprobs, temperature)
        assert scaled.argmax(1).tolist() == [1, 0]
        assert scaled.sum(1) == pytest.approx(1)
