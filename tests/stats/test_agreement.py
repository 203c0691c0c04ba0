"""Weighted kappa against statsmodels and by hand; area under the ROC curve against pairs counted one by one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from finetune import stats

GRADES = ("none", "mild", "severe")


def test_kappa_by_hand() -> None:
    """Gold 2, 2, 1 of three grades, one mild called none: linear disagreement 1; expected (2x2 + 3x... ) / 5 = 3.8."""
    gold, answers = ["none", "none", "mild", "mild", "severe"], ["none", "none", "none", "mild", "severe"]
    expected = (
        sum(gold.count(a) * answers.count(b) * abs(i - j) for i, a in enumerate(GRADES) for j, b in enumerate(GRADES))
        / 5
    )
    assert expected == pytest.approx((2 * (1 * 1 + 1 * 2) + 2 * (3 * 1 + 1 * 1) + 1 * (3 * 2 + 1 * 1)) / 5)
    assert stats.weighted_kappa(gold, answers, GRADES, weights="linear").value == pytest.approx(1 - 1 / expected)


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_kappa_and_its_width_are_those_of_statsmodels(weights) -> None:
    random = np.random.default_rng(3)
    rows = random.integers(0, 3, 600)
    columns = np.clip(rows + random.choice([-1, 0, 0, 0, 1], 600), 0, 2)
    table = np.zeros((3, 3))
    np.add.at(table, (rows, columns), 1)
    known = cohens_kappa(table, wt=weights)
    found = stats.weighted_kappa([GRADES[i] for i in rows], [GRADES[i] for i in columns], GRADES, weights=weights)
    assert found.value == pytest.approx(known.kappa)
    assert found.high - found.low == pytest.approx(known.kappa_upp - known.kappa_low, rel=0.03)


def test_a_missing_answer_is_as_wrong_as_can_be() -> None:
    gold = ["none", "severe", "mild", "none"]
    silent = stats.weighted_kappa(gold, [None, "severe", None, "none"], GRADES)
    assert silent.value == stats.weighted_kappa(gold, ["severe", "severe", "none", "none"], GRADES).value


def test_perfect_agreement_is_not_certain() -> None:
    gold = ["none"] * 20 + ["severe"] * 20
    found = stats.weighted_kappa(gold, list(gold), GRADES)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(2 * 40 / (40 + 3.841459) - 1)  # 20 s of 20 s right on both sides: kappa = 2 s - 1


def test_one_label_throughout_and_one_group_know_nothing() -> None:
    assert stats.weighted_kappa(["mild"] * 9, ["mild"] * 9, GRADES) == stats.Score(0.0, -1.0, 1.0)
    one = stats.weighted_kappa(["mild", "none"], ["mild", "none"], GRADES, groups=["a", "a"])
    assert (one.low, one.high) == (-1.0, 1.0)
    assert stats.weighted_kappa([], [], GRADES) == stats.Score(0.0, -1.0, 1.0)


def test_groups_of_like_items_widen_kappa_like_fewer_items() -> None:
    random = np.random.default_rng(5)
    gold = random.choice(GRADES, 50).tolist()
    answers = [g if random.random() < 0.7 else str(random.choice(GRADES)) for g in gold]
    alone = stats.weighted_kappa(gold, answers, GRADES)
    copied = stats.weighted_kappa(gold * 4, answers * 4, GRADES, groups=[str(i % 50) for i in range(200)])
    assert (copied.value, copied.low, copied.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_auroc_and_delong_by_hand() -> None:
    """3 of 4 pairs in order; placements .5, 1 and 1, .5, each of variance .125: error sqrt(.125 / 2 + .125 / 2)."""
    found = stats.auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    half = 1.959964 * math.sqrt(0.125)
    assert (found.value, found.low, found.high) == (0.75, pytest.approx(0.75 - half, abs=1e-6), 1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7]), st.booleans()), min_size=2, max_size=25))
def test_auroc_counts_pairs(rows: list[tuple[float, bool]]) -> None:
    ups, downs = [s for s, p in rows if p], [s for s, p in rows if not p]
    found = stats.auroc([s for s, _ in rows], [p for _, p in rows])
    if not ups or not downs:
        assert found == stats.Score(0.5, 0.0, 1.0)
        return
    wins = sum((a > b) + 0.5 * (a == b) for a in ups for b in downs)
    assert found.value == pytest.approx(wins / (len(ups) * len(downs)))
    assert 0 <= found.low <= found.value <= found.high <= 1
    mirrored = stats.auroc([-s for s, _ in rows], [p for _, p in rows])
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))


def obuchowski(scores: list[float], positive: list[bool], groups: list[str]) -> float:
    """His variance item by item, as printed."""
    ups = [i for i, p in enumerate(positive) if p]
    downs = [i for i, p in enumerate(positive) if not p]
    psi = {(i, j): (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for i in ups for j in downs}
    area = sum(psi.values()) / len(psi)
    over = {i: sum(psi[i, j] for j in downs) / len(downs) - area for i in ups}
    under = {j: sum(psi[i, j] for i in ups) / len(ups) - area for j in downs}
    names = sorted(set(groups))
    first = [sum(v for i, v in over.items() if groups[i] == g) for g in names]
    second = [sum(v for j, v in under.items() if groups[j] == g) for g in names]
    with_up, with_down = len({groups[i] for i in ups}), len({groups[j] for j in downs})
    total = with_up / (with_up - 1) * sum(x * x for x in first) / len(ups) ** 2
    total += with_down / (with_down - 1) * sum(x * x for x in second) / len(downs) ** 2
    mixed = sum(x * y for x, y in zip(first, second, strict=True)) / len(ups) / len(downs)
    return total + 2 * len(names) / (len(names) - 1) * mixed


def test_groups_are_obuchowski() -> None:
    random = np.random.default_rng(8)
    groups = [f"patient {i % 12}" for i in range(60)]
    positive = (random.random(60) < 0.4).tolist()
    scores = (random.normal(size=12)[np.arange(60) % 12] + random.normal(size=60) + 0.8 * np.array(positive)).tolist()
    found = stats.auroc(scores, positive, groups)
    half = 1.959964 * math.sqrt(obuchowski(scores, positive, groups))
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), abs=1e-6)


def test_perfect_order_is_not_certain() -> None:
    found = stats.auroc([1.0] * 12 + [0.0] * 30, [True] * 12 + [False] * 30)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(stats.wilson(12, 12).low)
    assert stats.auroc([1.0, 0.0, 0.1], [True, False, False]) == stats.Score(1.0, 0.0, 1.0)
