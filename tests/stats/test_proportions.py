"""Guards: exact bounds, what groups cost, and samples that would fool a bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from finetune import stats


def single(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def test_zero_misses_need_36_positives_for_90_percent() -> None:
    """By hand: 0.025^(1/36) = 0.9026, 0.025^(1/35) = 0.8999."""
    for n, lower in ((36, 0.90261), (35, 0.89997)):
        assert stats.clopper_pearson(n, n) == pytest.approx(lower, abs=1e-5)
        assert stats.guard_bound([True] * n, single(n)).lower == pytest.approx(lower, abs=1e-5)


def test_no_miss_of_eight_is_not_perfect() -> None:
    bound = stats.guard_bound([True] * 8, single(8))
    assert (bound.value, bound.upper, bound.n) == (1.0, 1.0, 8)
    assert bound.lower == pytest.approx(0.025 ** (1 / 8))
    assert bound.lower < 0.9


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_bounds_are_where_the_binomial_tail_is_the_error(table: tuple[int, int]) -> None:
    n, right = table
    lower, upper = stats.clopper_pearson(right, n), stats.clopper_pearson(right, n, side="upper")
    if right:
        assert scipy_stats.binom.sf(right - 1, n, lower) == pytest.approx(0.025, abs=1e-9)
    if right < n:
        assert scipy_stats.binom.cdf(right, n, upper) == pytest.approx(0.025, abs=1e-9)
    assert (lower, upper) == pytest.approx(
        (1 - stats.clopper_pearson(n - right, n, side="upper"), 1 - stats.clopper_pearson(n - right, n))
    )


def test_one_side_leaves_the_other_open() -> None:
    right, groups = [True] * 15 + [False] * 5, single(20)
    both = stats.guard_bound(right, groups)
    lower, upper = stats.guard_bound(right, groups, "lower"), stats.guard_bound(right, groups, "upper")
    assert (lower.lower, lower.upper) == (both.lower, 1.0)
    assert (upper.lower, upper.upper) == (0.0, both.upper)
    assert stats.guard_bound([], []) == stats.Bound(0.0, 0.0, 1.0, 0, 0.0)


def test_groups_without_a_miss_count_as_one_item_each() -> None:
    """30 parts with 4 views and no miss are 30 items, whatever the views say."""
    bound = stats.guard_bound([True] * 120, [str(i // 4) for i in range(120)])
    assert bound.n_effective == pytest.approx(30)
    assert bound.lower == pytest.approx(0.025 ** (1 / 30))


def test_design_effect_by_hand() -> None:
    """40 parts of 4, 20 with two misses each: residuals +-1, so effect 40/39 x 40 / (160 x 3/16) = 1.3675; 20 miss."""
    right, groups = (
        [part >= 20 or view < 2 for part in range(40) for view in range(4)],
        [str(i // 4) for i in range(160)],
    )
    bound = stats.guard_bound(right, groups)
    tails = scipy_stats.t.ppf(0.975, 159) / scipy_stats.t.ppf(0.975, 19)
    assert bound.n_effective == pytest.approx(160 / (40 / 39 * 40 / 30) * tails**2)
    assert bound.lower == pytest.approx(stats.clopper_pearson(0.75 * bound.n_effective, bound.n_effective))


def test_groups_of_like_items_count_as_one_item_each() -> None:
    right, groups = [part < 30 for part in range(40) for _ in range(4)], [str(i // 4) for i in range(160)]
    bound = stats.guard_bound(right, groups)
    assert (bound.n_effective, bound.lower) == (pytest.approx(40), pytest.approx(stats.clopper_pearson(30, 40)))


def test_a_handful_of_misses_does_not_prove_independence() -> None:
    """30 groups of 4 with 0, 1, 2, 5 and 15 lone misses: worth 30 items until the misses say that they are lone."""
    groups = [str(i // 4) for i in range(120)]
    worth = [
        stats.guard_bound([i % 4 > 0 or i // 4 >= k for i in range(120)], groups).n_effective for k in (0, 1, 2, 5, 15)
    ]
    tails = [scipy_stats.t.ppf(0.975, 119) / scipy_stats.t.ppf(0.975, k - 1) for k in (5, 15)]
    assert worth == pytest.approx([30, 30, 30, *(120 * tail**2 for tail in tails)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefghij")), min_size=1, max_size=60))
def test_bounds_hold_the_share_and_mirror(rows: list[tuple[bool, str]]) -> None:
    right, groups = [r for r, _ in rows], [g for _, g in rows]
    bound, wrong = stats.guard_bound(right, groups), stats.guard_bound([not r for r in right], groups)
    assert 0 <= bound.lower <= bound.value <= bound.upper <= 1
    assert 0 < bound.n_effective <= bound.n
    assert (wrong.lower, wrong.upper) == (pytest.approx(1 - bound.upper), pytest.approx(1 - bound.lower))


@pytest.mark.parametrize(("right", "n"), [(36, 36), (35, 36), (50, 60), (0, 5)])
def test_p_of_a_guard_is_the_binomial_tail(right: int, n: int) -> None:
    bound = stats.guard_bound([i < right for i in range(n)], single(n))
    assert stats.guard_p(bound, 0.9) == pytest.approx(scipy_stats.binom.sf(right - 1, n, 0.9))
    assert (bound.lower >= 0.9) == (stats.guard_p(bound, 0.9) <= 0.025)


def test_holm_by_hand() -> None:
    """Sorted .01, .02, .04 times 3, 2, 1, never falling: .03, .04, .04."""
    assert stats.holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert stats.holm([]) == []


def test_guards_of_few_items_never_pass_by_luck() -> None:
    """Every table of 35 positives in pairs: the exact chance of passing 0.9 at a share of 0.9 is 0."""
    for misses in range(4):
        right = np.arange(70) >= misses
        assert stats.guard_bound(right.tolist(), [str(i // 2) for i in range(70)], "lower").lower < 0.9
