"""Statistics against hand-computed values, textbook references and brute force."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from finetune import stats
from finetune.scoring import ratio
from finetune.stats import resampling


@pytest.mark.parametrize(
    ("b", "c", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (12, 4, 0.0768), (20, 8, 0.0357), (0, 0, 1), (3, 3, 1)]
)
def test_mcnemar(b: int, c: int, p: float) -> None:
    assert stats.mcnemar_exact(b, c) == pytest.approx(p, abs=5e-5)
    assert stats.mcnemar_exact(c, b) == stats.mcnemar_exact(b, c)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(44, 50, 76.2, 94.4), (347, 394, 84.5, 90.9), (880, 1000, 85.8, 89.9)]
)
def test_wilson_at_88_percent(right: int, n: int, low: float, high: float) -> None:
    score = stats.wilson(right, n)
    assert (round(100 * score.low, 1), round(100 * score.high, 1)) == (low, high)


def test_wilson_of_nothing_says_nothing() -> None:
    assert stats.wilson(0, 0) == stats.Score(0.0, 0.0, 1.0)


def test_groups_that_agree_within_count_as_one_item_each() -> None:
    """12 parts with 4 like answers, 9 right: by hand 16 * 2.25 * 12/11 / (48 * 3/16) = 48/11 = 4.36, so n = 11."""
    right, groups = [part < 9 for part in range(12) for _ in range(4)], [str(p) for p in range(12) for _ in range(4)]
    score, z2 = stats.clustered_wilson(right, groups), 3.841459
    middle, half = (8.25 + z2 / 2) / (11 + z2), math.sqrt(z2 * (11 * 0.75 * 0.25 + z2 / 4)) / (11 + z2)
    assert astuple(score) == pytest.approx((0.75, middle - half, middle + half), abs=1e-6)


def test_items_of_their_own_and_groups_that_spread_evenly_keep_their_n() -> None:
    right = [i % 4 > 0 for i in range(48)]
    expected = pytest.approx(astuple(stats.wilson(36, 48)))
    assert astuple(stats.clustered_wilson(right, [str(i) for i in range(48)])) == expected
    assert astuple(stats.clustered_wilson(right, [str(i // 4) for i in range(48)])) == expected


@pytest.mark.parametrize("right", [0, 12])
def test_no_spread_to_estimate_from_counts_groups(right: int) -> None:
    score = stats.clustered_wilson([right > 0] * 12, [str(i // 4) for i in range(12)])
    assert astuple(score) == pytest.approx(astuple(stats.wilson(right // 4, 3)))
    one = stats.clustered_wilson([True, False], ["a", "a"])
    assert one.high - one.low > 0.8


def test_clustered_interval_covers() -> None:
    """Beta-binomial parts (intra-class correlation 0.5) of 4 views: Wilson over items covers far too rarely."""
    random, truth = np.random.default_rng(5), 0.8
    groups = [str(i // 4) for i in range(240)]
    covered = plain = 0
    for _ in range(400):
        chances = random.beta(truth, 1 - truth, 60).repeat(4)
        right = (random.random(240) < chances).tolist()
        score, naive = stats.clustered_wilson(right, groups), stats.wilson(sum(right), 240)
        covered += score.low <= truth <= score.high
        plain += naive.low <= truth <= naive.high
    assert covered / 400 > 0.92
    assert plain / 400 < 0.88


def score_statistic(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic by brute force: the nuisance c / n maximises the multinomial likelihood on a fine grid."""
    lowest = max(0.0, -delta)
    q = np.linspace(lowest, (1 - abs(delta)) / 2 + max(0.0, -delta), 400_001)[1:-1]
    likelihood = b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log1p(-2 * q - delta)
    best = q[np.argmax(likelihood)]
    return (b - c - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n"), [(9, 3, 60), (1, 7, 44), (30, 25, 100), (4, 4, 20), (2, 0, 12)])
def test_tango_inverts_the_score_test(b: int, c: int, n: int) -> None:
    low, high = stats.tango(b, c, n)
    assert score_statistic(b, c, n, low) == pytest.approx(1.959964, abs=2e-3)
    assert score_statistic(b, c, n, high) == pytest.approx(-1.959964, abs=2e-3)


@pytest.mark.parametrize("n", [6, 50, 394])
def test_no_disagreement_is_no_certainty(n: int) -> None:
    low, high = stats.tango(0, 0, n)
    assert (low, high) == (
        pytest.approx(-3.8415 / (n + 3.8415), abs=1e-5),
        pytest.approx(3.8415 / (n + 3.8415), abs=1e-5),
    )


def test_tango_at_the_edge() -> None:
    low, high = stats.tango(10, 0, 10)
    assert (low, high) == (pytest.approx((10 - 3.8415) / (10 + 3.8415), abs=1e-4), 1.0)
    assert stats.tango(0, 10, 10) == (-1.0, pytest.approx(-low))


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_tango_holds_the_estimate_and_mirrors(table: tuple[int, int, int]) -> None:
    n, b, c = table
    if b + c > n:
        b, c = b // 2, c // 2
    low, high = stats.tango(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert low < high
    mirrored = stats.tango(c, b, n)
    assert mirrored == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


def bools(text: str) -> list[bool]:
    return [letter == "1" for letter in text]


def test_without_groups() -> None:
    d = stats.paired_difference(bools("11110000"), bools("11000001"), list("abcdefgh"))
    assert (d.b, d.c, d.n, d.groups, d.discordant_groups) == (2, 1, 8, 8, 3)
    assert d.difference == pytest.approx(1 / 8)
    assert (d.low, d.high) == stats.tango(2, 1, 8)
    assert d.p == 1.0


def test_equal_groups_are_a_t_test_on_group_means() -> None:
    """Group means .5, 0, 1, 0, .5: mean .4, standard error sqrt(.7 / 4 / 5) = .18708, t(4) at 97.5 % = 2.7764."""
    first, second = bools("1111110011"), bools("1011000010")
    d = stats.paired_difference(first, second, list("aabbccddee"))
    assert d.difference == pytest.approx(0.4)
    assert (d.low, d.high) == (
        pytest.approx(0.4 - 2.7764 * 0.18708, abs=1e-4),
        pytest.approx(0.4 + 2.7764 * 0.18708, abs=1e-4),
    )
    assert (d.b, d.c, d.groups, d.discordant_groups) == (4, 0, 5, 3)
    assert d.p == 0.25  # of 2^3 sign patterns of .1, .2, .1 only +++ and --- reach .4


def cr2_by_matrices(delta: Sequence[float], groups: Sequence[str], weights: Sequence[float]) -> tuple[float, float]:
    """Bell and McCaffrey's interval of a weighted mean written with full matrices, as in their paper."""
    x = np.sqrt(np.asarray(weights))[:, None]
    y = x[:, 0] * np.asarray(delta)
    bread = np.linalg.inv(x.T @ x)
    hat = x @ bread @ x.T
    estimate = float((bread @ x.T @ y)[0])
    residual = y - x[:, 0] * estimate
    names = sorted(set(groups))
    variance, columns = 0.0, []
    for name in names:
        rows = [i for i, g in enumerate(groups) if g == name]
        values, vectors = np.linalg.eigh(np.eye(len(rows)) - hat[np.ix_(rows, rows)])
        adjust = vectors @ np.diag(values**-0.5) @ vectors.T
        variance += ((bread @ x[rows].T @ adjust @ residual[rows]) ** 2).item()
        columns.append((np.eye(len(y)) - hat)[:, rows] @ adjust @ x[rows] @ bread)
    spread = np.concatenate(columns, axis=1)
    eigenvalues = np.linalg.eigvalsh(spread.T @ spread)
    freedom = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    half = scipy_stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    return estimate - half, estimate + half


@pytest.mark.parametrize("balanced", [False, True])
def test_unequal_groups_are_cr2(balanced: bool) -> None:
    generator = np.random.default_rng(5)
    groups = [
        name for name, size in zip("abcdefghij", (9, 1, 4, 4, 2, 12, 3, 3, 7, 1), strict=True) for _ in range(size)
    ]
    gold = generator.choice(["good", "bad"], len(groups), p=[0.8, 0.2]).tolist()
    first = (generator.random(len(groups)) < 0.8).tolist()
    second = (generator.random(len(groups)) < 0.6).tolist()
    weights = stats.class_weights(gold) if balanced else None
    d = stats.paired_difference(first, second, groups, weights)
    delta = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    low, high = cr2_by_matrices(delta, groups, weights or [1 / len(groups)] * len(groups))
    assert (d.low, d.high) == (pytest.approx(low), pytest.approx(high))
    if balanced:
        right = [t if ok else "other" for t, ok in zip(gold, first, strict=True)]
        recalls = [
            np.mean([r == t for r, t in zip(right, gold, strict=True) if t == label]) for label in ("good", "bad")
        ]
        base = [np.mean([ok for ok, t in zip(second, gold, strict=True) if t == label]) for label in ("good", "bad")]
        assert d.difference == pytest.approx(np.mean(recalls) - np.mean(base))


def test_groups_that_agree_exactly_do_not_give_a_zero_width() -> None:
    same = stats.paired_difference([True] * 12, [True] * 12, list("aabbccddeeff"))
    assert (same.low, same.high, same.p) == (*stats.tango(0, 0, 6), 1.0)
    better = stats.paired_difference([True] * 12, [False] * 12, list("aabbccddeeff"))
    assert (better.low, better.high) == stats.tango(6, 0, 6)


def test_one_group_knows_nothing() -> None:
    d = stats.paired_difference([True, True], [False, True], ["a", "a"])
    assert (d.low, d.high) == (-1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0]), min_size=1, max_size=9))
def test_sign_flip_equals_enumeration(sums: list[float]) -> None:
    flips = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    expected = sum(f >= abs(sum(sums)) for f in flips) / len(flips)
    assert stats.sign_flip(np.asarray(sums)) == pytest.approx(expected)


def test_sign_flip_of_many_groups_is_near_the_exact_binomial_and_seeded() -> None:
    """30 groups of weight 1, 21 up and 9 down: the flip test is the sign test, p = .0428."""
    sums = np.asarray([1.0] * 21 + [-1.0] * 9)
    p = stats.sign_flip(sums, seed=1)
    assert p == pytest.approx(scipy_stats.binomtest(21, 30).pvalue, abs=0.01)
    assert p == stats.sign_flip(sums, seed=1)
    assert p != stats.sign_flip(sums, seed=2)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_difference_is_antisymmetric(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 40))
    items = st.lists(st.booleans(), min_size=n, max_size=n)
    first, second = data.draw(items), data.draw(items)
    groups = data.draw(st.lists(st.sampled_from("abcdef"), min_size=n, max_size=n))
    ahead, behind = stats.paired_difference(first, second, groups), stats.paired_difference(second, first, groups)
    assert ahead.difference == pytest.approx(-behind.difference)
    assert (ahead.low, ahead.high) == (pytest.approx(-behind.high), pytest.approx(-behind.low))
    assert (ahead.b, ahead.c, ahead.p) == (behind.c, behind.b, pytest.approx(behind.p))
    assert ahead.difference == pytest.approx((ahead.b - ahead.c) / n)


def test_confusion_and_rates_by_hand() -> None:
    gold = ["bad", "bad", "bad", "good", "good", "good", "good", "odd"]
    answers = ["bad", "good", None, "good", "good", "bad", None, "odd"]
    table = stats.confusion(gold, answers, ("good", "bad", "odd"))
    assert table == [[2, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 0]]
    alone = [str(i) for i in range(8)]
    assert astuple(stats.sensitivity(gold, answers, alone, "bad")) == pytest.approx(astuple(stats.wilson(1, 3)))
    # The good without an answer is not a right one.
    assert astuple(stats.specificity(gold, answers, alone, "bad")) == pytest.approx(astuple(stats.wilson(3, 5)))
    assert stats.balanced_accuracy(np.asarray(table)) == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert stats.macro_f1(np.asarray(table)) == pytest.approx((4 / 7 + 2 / 5 + 1) / 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), min_size=1, max_size=60))
def test_metrics_equal_their_definition_item_by_item(pairs: list[tuple[str, str]]) -> None:
    recalls, f1s = [], []
    for label in {gold for gold, _ in pairs}:
        hits = sum(gold == answer == label for gold, answer in pairs)
        recall = hits / sum(gold == label for gold, _ in pairs)
        precision = hits / max(1, sum(answer == label for _, answer in pairs))
        recalls.append(recall)
        f1s.append(2 * recall * precision / (recall + precision) if hits else 0.0)
    table = np.asarray(stats.confusion([g for g, _ in pairs], [a for _, a in pairs], ("x", "y", "z")))
    assert stats.balanced_accuracy(table) == pytest.approx(np.mean(recalls))
    assert stats.macro_f1(table) == pytest.approx(np.mean(f1s))


def test_bootstrap_resamples_groups_and_is_seeded() -> None:
    """40 groups that are right or wrong as a whole: the spread is that of 40 items, not of 400."""
    gold = ["a", "b"] * 200
    answers = [truth if (i // 10) % 4 else None for i, truth in enumerate(gold)]
    groups = [str(i // 10) for i in range(400)]
    [score] = stats.bootstrap([stats.balanced_accuracy], gold, answers, groups, ("a", "b"), seed=3)
    assert score.value == pytest.approx(0.75)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 40)
    assert score.low == pytest.approx(0.75 - half, abs=0.03)
    assert score.high == pytest.approx(0.75 + half, abs=0.03)
    assert [score] == stats.bootstrap([stats.balanced_accuracy], gold, answers, groups, ("a", "b"), seed=3)


def test_bootstrap_survives_a_class_missing_from_a_resample() -> None:
    [score] = stats.bootstrap([stats.macro_f1], ["a", "a", "b"], ["a", "a", None], ["1", "2", "3"], ("a", "b"))
    assert score == stats.Score(0.5, 0.0, 1.0)


def test_a_class_without_a_miss_is_not_certain() -> None:
    """30 parts a class, two views each, no miss: the lower bound is Wilson's of 30 of 30, not 1."""
    gold, groups = ["a"] * 60 + ["b"] * 60, [str(i // 2) for i in range(120)]
    balanced, f1 = stats.bootstrap([stats.balanced_accuracy, stats.macro_f1], gold, list(gold), groups, ("a", "b"))
    lower = 30 / (30 + 3.841459)
    assert astuple(balanced) == pytest.approx((1.0, lower, 1.0), abs=1e-6)
    assert astuple(f1) == pytest.approx((1.0, 2 * lower / (1 + lower), 1.0), abs=1e-6)


def test_one_class_without_a_miss_lowers_its_share_alone() -> None:
    gold, groups = ["a"] * 30 + ["b"] * 30, [str(i) for i in range(60)]
    answers = ["a"] * 30 + ["b", "a"] * 15
    [score] = stats.bootstrap([stats.balanced_accuracy], gold, answers, groups, ("a", "b"))
    spread = 1.96 * math.sqrt(0.25 / 30)
    assert score.low == pytest.approx((30 / (30 + 3.841459) + 0.5 - spread) / 2, abs=0.02)
    assert score.high == pytest.approx((1 + 0.5 + spread) / 2, abs=0.02)


def test_an_estimate_of_many_rare_classes_lies_inside_its_interval() -> None:
    """One class of 30 right items and 49 of one wrong item each: 1 / 50. A resample leaves out a third of the 49."""
    labels = [f"c{i:02d}" for i in range(50)]
    gold, items = ["c00"] * 30 + labels[1:], [str(i) for i in range(79)]
    [score] = stats.bootstrap([stats.balanced_accuracy], gold, ["c00"] * 30 + [None] * 49, items, labels)
    assert score.value == score.low == 0.02
    assert 0.03 < score.high < 0.05
    [score] = stats.bootstrap([stats.balanced_accuracy], gold, [None] * 30 + labels[1:], items, labels)
    assert score.value == score.high == 0.98


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_estimate_lies_outside_its_interval(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 25))
    labels = [f"c{i}" for i in range(data.draw(st.integers(1, 12)))]
    gold = data.draw(st.lists(st.sampled_from(labels), min_size=n, max_size=n))
    answers = data.draw(st.lists(st.sampled_from([*labels, None]), min_size=n, max_size=n))
    groups = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=n, max_size=n))
    values = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "REPLICATES", 150)
        found = stats.bootstrap([stats.balanced_accuracy, stats.macro_f1], gold, answers, groups, labels)
        found += [ratio.mean(values, groups), stats.aurc(values, [value > 0.5 for value in values], groups)]
        found += [stats.auroc(values, [label == "c0" for label in gold], groups)]
    for score in found:
        assert score.low <= score.value <= score.high
