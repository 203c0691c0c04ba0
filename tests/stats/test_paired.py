"""Who may replace whom: Tango, CR2, and the claim, against hand-computed values, full matrices and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from finetune import stats
from finetune.stats import clusters


def single(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def sides(b: int, c: int, n: int) -> tuple[list[bool], list[bool]]:
    return [True] * b + [False] * c + [True] * (n - b - c), [False] * b + [True] * c + [True] * (n - b - c)


def grouped(groups: int, size: int, wins: int = 0, losses: int = 0) -> tuple[list[bool], list[bool], list[str]]:
    """One win in each of the first groups, one loss in each of the next; all else alike."""
    first, second, names = [], [], []
    for group in range(groups):
        for item in range(size):
            lone = item == 0
            first.append(not (lone and wins <= group < wins + losses))
            second.append(not (lone and group < wins))
            names.append(str(group))
    return first, second, names


def test_single_items_pass_where_tango_says_so() -> None:
    """b = c = 0: +-3.84 / (n + 3.84) lies within 3 points from n = 125 on."""
    for n, passes in ((124, False), (125, True)):
        claim = stats.noninferiority(*sides(0, 0, n), single(n), 0.03)
        assert claim.lower == pytest.approx(-3.841459 / (n + 3.841459), abs=1e-7)
        assert (claim.passes, claim.enough) == (passes, True)


def test_nothing_discordant_of_six_is_not_enough_whatever_the_margin() -> None:
    claim = stats.noninferiority(*sides(0, 0, 6), single(6), 0.5)
    assert claim.lower > -0.5
    assert (claim.passes, claim.enough) == (False, False)
    assert claim.reason == "only 6 independent items, at least 20 are needed"


def test_fourteen_groups_of_five_are_not_enough() -> None:
    claim = stats.noninferiority(*grouped(14, 5, wins=10), 0.05)
    assert claim.difference == pytest.approx(10 / 70)
    assert (claim.passes, claim.enough) == (False, False)
    assert claim.reason == "only 14 independent groups, at least 20 are needed"


def test_few_groups_with_a_disagreement_are_not_enough() -> None:
    claim = stats.noninferiority(*grouped(100, 5, wins=10, losses=9), 0.1)
    assert (claim.passes, claim.enough, claim.discordant_groups, claim.groups) == (False, False, 19, 100)
    assert claim.reason == ("only 19 of 100 groups hold an item on which the two disagree, at least 20 are needed")
    assert stats.noninferiority(*grouped(100, 5, wins=10, losses=10), 0.1).passes


def test_few_groups_are_flagged() -> None:
    claim = stats.noninferiority(*grouped(39, 2, wins=15, losses=15), 0.2)
    assert (claim.enough, claim.flagged) == (True, True)
    assert claim.reason == "39 independent groups: below 40 the bounds are approximate"
    assert not stats.noninferiority(*grouped(40, 2, wins=15, losses=15), 0.2).flagged


def test_a_few_items_of_a_rare_class_do_not_decide() -> None:
    """10 rare items, 2 of them lost, weigh 0.05 each; 18 of 490 common ones 1/980. (.1 + 18/980)^2 / (...) = 2.79."""
    gold = ["rare"] * 10 + ["common"] * 490
    first = [i >= 2 and not 100 <= i < 118 for i in range(500)]
    claim = stats.noninferiority(first, [True] * 500, single(500), 0.5, stats.class_weights(gold))
    assert claim.discordant_groups == 20
    assert (claim.enough, claim.passes) == (False, False)
    assert claim.reason == (
        "few items of a rare class decide: the 20 groups with a disagreement weigh as much as 3 equal ones, "
        "at least 20 are needed"
    )


def test_claim_by_hand_where_nothing_is_skewed() -> None:
    """40 pairs, 20 won and 20 lost by one item: no skew, so t with min(39, 40 - 1) degrees, error .5 sqrt(1 / 39)."""
    first, second, names = grouped(40, 2, wins=20, losses=20)
    claim = stats.noninferiority(first, second, names, 0.2)
    half = scipy_stats.t.ppf(0.975, 39) * 0.5 / math.sqrt(39)
    assert (claim.lower, claim.upper) == (pytest.approx(-half), pytest.approx(half))
    assert claim.p == pytest.approx(scipy_stats.t.sf(0.2 * math.sqrt(39) / 0.5, 39))
    plain = stats.paired_difference(first, second, names)
    assert (plain.low, plain.high) == (pytest.approx(-half), pytest.approx(half))


def test_skewed_losses_move_the_lower_bound_out_by_hall() -> None:
    """100 groups, 25 of which lose one of 4: t = 3 / k ((1 + k (z - k / 6))^(1/3) - 1) at z = t(24), k = -.2306/2."""
    claim = stats.noninferiority(*grouped(100, 4, losses=25), 0.1)
    mean, spread = -0.0625, math.sqrt(0.25 * (0.1875**2) + 0.75 * 0.0625**2)
    third = 0.25 * (-0.1875) ** 3 + 0.75 * 0.0625**3
    error = spread / math.sqrt(99)
    skew = 100 * third / 100**3 / (0.99**1.5) / error**3
    z = scipy_stats.t.ppf(0.975, 24)
    moved = 3 / skew * (np.cbrt(1 + skew * (z - skew / 6)) - 1)
    assert moved > z
    assert claim.lower == pytest.approx(mean - error * moved)
    assert claim.upper == pytest.approx(mean + error * z)
    there = stats.noninferiority(*grouped(100, 4, losses=25), -claim.lower)
    assert there.p == pytest.approx(0.025)


def test_p_and_bound_agree_with_the_same_decision() -> None:
    random = np.random.default_rng(4)
    for _ in range(40):
        first, second = random.random((2, 300)) < 0.85
        names = (np.arange(300) // random.integers(1, 6)).astype(str).tolist()
        weights = None if random.random() < 0.5 else stats.class_weights(random.choice(["a", "b"], 300).tolist())
        for margin in (0.01, 0.03, 0.1):
            claim = stats.noninferiority(first.tolist(), second.tolist(), names, margin, weights)
            assert (claim.lower > -margin) == (claim.p < 0.025)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_claim_is_never_bolder_than_the_interval_and_mirrors(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 40))
    items = st.lists(st.booleans(), min_size=n, max_size=n)
    first, second = data.draw(items), data.draw(items)
    groups = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=n, max_size=n))
    shown = stats.paired_difference(first, second, groups)
    claim = stats.noninferiority(first, second, groups, 0.05)
    back = stats.noninferiority(second, first, groups, 0.05)
    assert claim.lower <= shown.low + 1e-9
    assert claim.upper >= shown.high - 1e-9
    assert (back.lower, back.upper) == (pytest.approx(-claim.upper), pytest.approx(-claim.lower))
    assert claim.passes <= claim.enough


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_names_of_items_do_not_matter(random, size: int) -> None:
    rows = [(random.random() < 0.8, random.random() < 0.7, f"g{i // size}") for i in range(60)]
    shuffled = random.sample(rows, len(rows))
    renamed = [(a, b, name.upper() + "!") for a, b, name in shuffled]
    whole, other = (
        stats.noninferiority([r[0] for r in part], [r[1] for r in part], [r[2] for r in part], 0.05)
        for part in (rows, renamed)
    )
    assert (other.lower, other.upper, other.p) == pytest.approx((whole.lower, whole.upper, whole.p))
    assert (other.groups, other.discordant_groups) == (whole.groups, whole.discordant_groups)


def test_weights_of_sensitivity_leave_the_other_class_out() -> None:
    gold = ["bad"] * 3 + ["good"] * 2
    weights = stats.metric_weights("sensitivity", gold, "bad")
    assert weights == [1 / 3, 1 / 3, 1 / 3, 0.0, 0.0]
    assert stats.metric_weights("specificity", gold, "bad") == [0.0, 0.0, 0.0, 0.5, 0.5]
    assert stats.metric_weights("accuracy", gold) is None
    assert stats.metric_weights("balanced_accuracy", gold) == stats.class_weights(gold)
    found = stats.paired_difference(
        [True, True, False, False, True], [True, False, False, True, False], single(5), weights
    )
    assert (found.n, found.b, found.c, found.groups) == (3, 1, 0, 3)
    assert (found.low, found.high) == stats.tango(1, 0, 3)
    assert found.method == "Tango score interval, exact McNemar"


def test_sides_of_other_items_and_foreign_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 answers on items of 2 groups: not the same items"):
        stats.noninferiority([True, True], [True], ["a", "b"], 0.1)
    with pytest.raises(ValueError, match="the weights sum to 3, expected 1"):
        stats.paired_difference([True] * 3, [True] * 3, single(3), [1.0] * 3)


def test_no_items_and_one_group_claim_nothing() -> None:
    for claim in (stats.noninferiority([], [], [], 0.1), stats.noninferiority([True] * 9, [True] * 9, ["a"] * 9, 0.1)):
        assert (claim.lower, claim.upper, claim.p) == (-1.0, 1.0, 0.5)
        assert (claim.passes, claim.enough) == (False, False)


def test_a_margin_of_nothing_without_a_disagreement_says_nothing() -> None:
    claim = stats.noninferiority(*sides(0, 0, 500), single(500), 0.0)
    assert (claim.p, claim.passes, claim.enough) == (0.5, False, True)


def test_hall_is_undone() -> None:
    t = np.linspace(-4, 4, 33)
    for skew in (-1.5, -0.3, 0.0, 0.2, 2.0):
        k = np.full_like(t, skew)
        assert clusters._untransformed(clusters._transformed(t, k), k) == pytest.approx(t)
    assert (np.diff(clusters._transformed(t, np.full_like(t, -1.5))) >= 0).all()
