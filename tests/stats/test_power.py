"""The figures of the plan, against simulation, enumeration and the published ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import stats


@pytest.mark.parametrize(("n", "points"), [(200, 6.5), (394, 4.7), (1000, 2.9)])
def test_detectable_difference_at_10_percent_disagreement(n: int, points: float) -> None:
    gap = stats.mcnemar_detectable(n, 0.1)
    assert gap is not None
    assert math.ceil(1000 * gap) / 10 == points
    assert stats.mcnemar_power(n, 0.1, gap) == pytest.approx(0.8, abs=1e-3)


def test_power_is_that_of_simulated_tests() -> None:
    random = np.random.default_rng(1)
    discordant = random.binomial(60, 0.3, 4_000)
    wins = random.binomial(discordant, (1 + 0.2 / 0.3) / 2)
    found = {(b, m - b): stats.mcnemar_exact(b, m - b) <= 0.05 for b, m in {*zip(wins, discordant, strict=True)}}
    share = np.mean([found[b, m - b] for b, m in zip(wins, discordant, strict=True)])
    assert stats.mcnemar_power(60, 0.3, 0.2) == pytest.approx(share, abs=0.025)


def test_the_test_keeps_its_level() -> None:
    assert stats.mcnemar_power(500, 0.1, 0.0) < 0.05


def test_too_few_items_detect_nothing() -> None:
    assert stats.mcnemar_detectable(40, 0.1) is None
    assert stats.mcnemar_detectable(0, 0.1) is None


def test_items_for_noninferiority() -> None:
    """(1.95996 + .84162)^2 = 7.8489: times .1 / .0009 is 872.1, times .2 / .0009 is 1744.2."""
    assert (stats.noninferiority_n(0.03, 0.1), stats.noninferiority_n(0.03, 0.2)) == (873, 1745)
    assert stats.noninferiority_n(0.03, 0.1, gap=-0.03) is None
    assert stats.noninferiority_n(0.03, 0.1, gap=0.01) == math.ceil(7.848880 * (0.1 - 0.0001) / 0.0016)
    assert stats.noninferiority_power(872.1, 0.03, 0.1) == pytest.approx(0.8, abs=1e-4)


def test_design_effect() -> None:
    assert stats.design_effect(12, 0.1) == pytest.approx(2.1)
    assert stats.design_effect(1, 0.7) == 1.0


def test_groups_that_will_hold_a_disagreement() -> None:
    """44 groups of 12 at 6 %: 44 (1 - .94^12) = 23.06 when independent, 44 x .06 when alike, in between otherwise."""
    sizes = [12] * 44
    assert stats.discordant_groups(sizes, 0.06, 0.0) == pytest.approx(44 * (1 - 0.94**12))
    assert stats.discordant_groups(sizes, 0.06, 1.0) == pytest.approx(44 * 0.06)
    random = np.random.default_rng(2)
    chance = random.beta(0.06 * 9, 0.94 * 9, (4_000, 44))  # icc = 1 / (1 + 9)
    seen = (random.binomial(12, chance) > 0).sum(1).mean()
    assert stats.discordant_groups(sizes, 0.06, 0.1) == pytest.approx(seen, abs=0.2)


def test_groups_needed_reach_their_number_with_the_power_asked() -> None:
    """Chance .9 each: P(X >= 20 of 22) = .620, of 23 = .807."""
    assert stats.groups_needed(20, 0.9) == 23
    assert stats.groups_needed(20, 1.0) == 20


def test_items_for_a_guard() -> None:
    assert stats.guard_n(0.9) == 36
    assert stats.guard_n(0.9, 0.9) is None
    assert stats.guard_n(0.9, 0.9 + 1e-9) is None
    needed = stats.guard_n(0.9, 0.95)
    assert needed is not None
    assert stats.clopper_pearson(0.95 * needed, needed) >= 0.9 > stats.clopper_pearson(0.95 * (needed - 1), needed - 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 400), st.floats(0.02, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_power_grows_with_the_gap_and_favours_no_side(n: int, discordance: float, one: float, two: float) -> None:
    small, large = sorted((one * discordance, two * discordance))
    assert stats.mcnemar_power(n, discordance, small) <= stats.mcnemar_power(n, discordance, large) + 1e-9
    assert stats.mcnemar_power(n, discordance, -small) == pytest.approx(stats.mcnemar_power(n, discordance, small))
