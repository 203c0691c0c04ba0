"""How often a replacement would be declared when it must not be: the error of criteria that decide, simulated.

The truth sits exactly on the bound (candidate worse by the margin; share equal to the guard's floor), so a test of
2.5 % may pass in at most 3.6 % of 2,000 tables (the 99.9 % point of a binomial count with 2.5 %). Exit code 1 when a
cell errs more often. Disagreement within a group is Dirichlet-multinomial, so that `icc` is the intra-class
correlation of each outcome.

    python bench/noninferiority.py [--tables 2000] [--seed 0]
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from finetune import stats
from finetune.stats.clusters import claim, cluster_moments, effective, score_z
from finetune.stats.paired import ENOUGH_GROUPS

MARGIN = 0.03
LIMIT = 0.036
UNEQUAL = (1, 1, 2, 3, 4, 6, 8, 12, 18, 24, 25, 40)
"""Items of the groups where sizes differ, in turn; their mean is 12 as well."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One line of the table.

    Attributes:
        groups: independent units.
        sizes: equal (12 items), unequal (`UNEQUAL`), or single (one item).
        icc: intra-class correlation of the disagreement.
        disagreement: share of items that exactly one model has right.
        rare: share of items in the rare class; 0 = accuracy, else the difference is of balanced accuracy.
    """

    groups: int
    sizes: str
    icc: float
    disagreement: float
    rare: float = 0.0

    def counts(self) -> NDArray[np.int64]:
        """Items of each class in each group, `[classes, groups]`: rare items are dealt out one by one."""
        sizes = {"equal": (12,), "unequal": UNEQUAL, "single": (1,)}[self.sizes]
        items = np.resize(np.asarray(sizes), self.groups)
        if not self.rare:
            return items[None]
        ends = np.cumsum(items)
        rare = np.diff(np.floor(ends * self.rare + 1e-9), prepend=0.0).astype(np.int64)
        return np.stack([items - rare, rare])


@dataclass(frozen=True)
class Result:
    """Shares of the simulated tables: that pass, that hold enough evidence, and that a plain t interval would pass."""

    passed: float
    enough: float
    plain: float


def cells() -> Iterator[Cell]:
    """Groups of accuracy as specified; then balanced accuracy with a rare class, in groups and on single items."""
    for groups, sizes, icc, disagreement in product(
        (20, 44, 100), ("equal", "unequal"), (0.0, 0.1, 0.3), (0.03, 0.06, 0.15)
    ):
        yield Cell(groups, sizes, icc, disagreement)
    for groups, sizes, icc in product((44, 100), ("equal", "unequal"), (0.0, 0.3)):
        yield Cell(groups, sizes, icc, 0.06, rare=0.1)
    for groups, disagreement in product((200, 1000), (0.06, 0.15)):
        yield Cell(groups, "single", 0.0, disagreement, rare=0.1)


def draw(cell: Cell, tables: int, seed: int, gap: float = -MARGIN) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Wins and losses of the candidate, each `[tables, classes, groups]`, with this true gap in every class."""
    generator = np.random.default_rng(seed)
    items = cell.counts()
    win, loss = (cell.disagreement + gap) / 2, (cell.disagreement - gap) / 2
    shape = (tables, 1, cell.groups)
    chances = np.broadcast_to(np.array([win, loss, 1 - win - loss]), (*shape, 3))
    if cell.icc > 0:
        chances = generator.gamma(chances * (1 - cell.icc) / cell.icc)
        chances = chances / chances.sum(-1, keepdims=True)
    losses = generator.binomial(items, np.broadcast_to(chances[..., 1], (tables, *items.shape)))
    rest = np.minimum(1.0, chances[..., 0] / np.maximum(1e-12, 1 - chances[..., 1]))
    return generator.binomial(items - losses, rest), losses


def simulate(cell: Cell, tables: int, seed: int, gap: float = -MARGIN) -> Result:
    """The criterion as in `finetune.stats.noninferiority`, on all tables at once."""
    wins, losses = draw(cell, tables, seed, gap)
    items = cell.counts()
    weight = 1 / (len(items) * items.sum(1, keepdims=True))
    share, sums = (weight * items).sum(0), (weight * (wins - losses)).sum(1)
    weighty = effective((weight * (wins + losses)).sum(1))
    lower, _, _ = claim(share, sums, weighty, MARGIN)
    discordant = ((wins + losses).sum(1) > 0).sum(-1)
    enough = (discordant >= ENOUGH_GROUPS) & (cell.groups >= ENOUGH_GROUPS)
    if cell.rare:
        enough &= weighty >= ENOUGH_GROUPS
    estimate, variance, freedom = cluster_moments(share, sums)
    plain = estimate - scipy_stats.t.ppf(0.975, freedom) * np.sqrt(variance) > -MARGIN
    return Result(float(((lower > -MARGIN) & enough).mean()), float(enough.mean()), float(plain.mean()))


def tango_error(n: int, disagreement: float) -> float:
    """Chance that Tango's bound passes at a true gap of the margin, summed over all tables of n single items."""
    win, loss = (disagreement - MARGIN) / 2, (disagreement + MARGIN) / 2
    high = int(scipy_stats.binom.ppf(1 - 1e-12, n, loss)) + 1
    losses = np.arange(high + 1)[:, None]
    wins = np.arange(int(scipy_stats.binom.ppf(1 - 1e-12, n, win)) + 2)[None]
    chance = scipy_stats.binom.pmf(losses, n, loss) * scipy_stats.binom.pmf(wins, n - losses, win / (1 - loss))
    passes = score_z(wins, losses, n, -MARGIN) > scipy_stats.norm.ppf(0.975)
    return float((chance * passes).sum())


def guard_error(groups: int, size: int, icc: float, floor: float, tables: int, seed: int) -> float:
    """Share of tables in which a guard passes although the true share is no more than its floor."""
    generator = np.random.default_rng(seed)
    scale = (1 - icc) / icc if icc else 0.0
    names = np.repeat(np.arange(groups), size).astype(str).tolist()
    passed = 0
    for _ in range(tables):
        chance = generator.beta(floor * scale, (1 - floor) * scale, groups) if icc else np.full(groups, floor)
        right = generator.random(groups * size) < np.repeat(chance, size)
        passed += stats.guard_bound(right.tolist(), names, "lower").lower >= floor
    return passed / tables


def main(tables: int, seed: int) -> int:
    """Prints the three tables and returns the exit code."""
    worst = 0.0
    columns = ("groups", "sizes", "icc", "disagreement", "metric")
    columns += ("passes", "enough evidence", "plain t would pass", "passes if alike")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for cell in cells():
        found = simulate(cell, tables, seed)
        alike = simulate(cell, max(1, tables // 4), seed + 1, gap=0.0)
        worst = max(worst, found.passed)
        metric = f"balanced, {cell.rare:.0%} rare" if cell.rare else "accuracy"
        print(
            f"| {cell.groups} | {cell.sizes} | {cell.icc} | {cell.disagreement} | {metric} | {found.passed:.2%} "
            f"| {found.enough:.0%} | {found.plain:.2%} | {alike.passed:.0%} |"
        )
    print("\n| single items | disagreement | Tango passes (exact) |\n|---|---|---|")
    for n, disagreement in product((50, 125, 200, 394, 1000), (0.03, 0.06, 0.15)):
        error = tango_error(n, disagreement)
        worst = max(worst, error)
        print(f"| {n} | {disagreement} | {error:.2%} |")
    print("\n| groups | items each | icc | floor | guard passes |\n|---|---|---|---|---|")
    for groups, size, icc, floor in product((44, 100), (4, 12), (0.0, 0.1, 0.3), (0.9, 0.95)):
        error = guard_error(groups, size, icc, floor, tables, seed)
        worst = max(worst, error)
        print(f"| {groups} | {size} | {icc} | {floor} | {error:.2%} |", flush=True)
    print(f"\nworst {worst:.2%}, allowed {LIMIT:.1%}, {tables} tables a cell, seed {seed}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(main(given.tables, given.seed))
