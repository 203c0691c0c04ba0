"""Risk against coverage by hand, thresholds that a few lucky items cannot buy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import stats

SURE = [0.9, 0.8, 0.8, 0.6, 0.5]
RIGHT = [True, True, False, True, False]


def test_curve_by_hand_keeps_equal_confidences_together() -> None:
    assert stats.risk_coverage(SURE, RIGHT) == [
        (0.2, 0.0),
        (pytest.approx(0.6), pytest.approx(1 / 3)),
        (0.8, 0.25),
        (1.0, 0.4),
    ]
    assert stats.risk_coverage([], []) == []


def test_area_by_hand() -> None:
    found = stats.aurc(SURE, RIGHT)
    assert found.value == pytest.approx((0 + 2 / 3 + 0.25 + 0.4) / 5)
    assert 0 <= found.low <= found.value <= found.high
    assert found == stats.aurc(SURE, RIGHT)
    assert stats.aurc([0.5] * 5, RIGHT).value == pytest.approx(0.4)
    assert stats.aurc([], []) == stats.Score(0.0, 0.0, 1.0)


def test_groups_widen_the_area() -> None:
    sure, right = [i / 100 for i in range(100)], [i % 20 >= 5 for i in range(100)]
    alone, grouped = stats.aurc(sure, right), stats.aurc(sure, right, [str(i % 5) for i in range(100)], seed=1)
    assert grouped.value == alone.value
    assert grouped.high - grouped.low != alone.high - alone.low


def test_threshold_answers_most_at_an_acceptable_risk() -> None:
    """Of 200 sorted items the 150 surest are right, the others every second one; 50 % bounds are near the risk."""
    sure = [1 - i / 200 for i in range(200)]
    right = [i < 150 or i % 2 == 0 for i in range(200)]
    threshold = stats.choose_threshold(sure, right, 0.05)
    assert threshold is not None
    answered = [ok for confidence, ok in zip(sure, right, strict=True) if confidence >= threshold]
    assert 160 <= len(answered) <= 168
    assert stats.clopper_pearson(answered.count(False), len(answered), 0.5, "upper") <= 0.05


def test_a_few_lucky_items_buy_no_threshold() -> None:
    """0.5^(1/34) = .9798 and 0.5^(1/35) = .9804: 34 of 34 do not reach a risk of 2 %, 35 of 35 do."""
    assert stats.choose_threshold([0.9] * 34, [True] * 34, 0.02) is None
    assert stats.choose_threshold([0.9] * 35, [True] * 35, 0.02) == 0.9
    assert stats.choose_threshold([], [], 0.02) is None


def test_bound_of_the_risk_on_the_test() -> None:
    bound = stats.selective_bound([True] * 60, [str(i) for i in range(60)])
    assert (bound.value, bound.lower) == (0.0, 0.0)
    assert bound.upper == pytest.approx(1 - 0.025 ** (1 / 60))
    assert stats.selective_bound([], []).upper == 1.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_curve_ends_at_the_error_rate_and_coverage_grows(rows: list[tuple[float, bool]]) -> None:
    curve = stats.risk_coverage([c for c, _ in rows], [ok for _, ok in rows])
    assert curve[-1] == (1.0, pytest.approx(sum(not ok for _, ok in rows) / len(rows)))
    assert [c for c, _ in curve] == sorted({c for c, _ in curve})
    assert len(curve) == len({c for c, _ in rows})
