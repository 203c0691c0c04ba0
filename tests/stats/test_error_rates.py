"""The criterion that decides, at a true gap equal to the margin. The whole sweep is `slow`; its table is in docs/."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats as scipy_stats

import finetune
from finetune import stats

BENCH = Path(finetune.__file__).resolve().parents[1] / "bench" / "noninferiority.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_noninferiority", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_sweep_asks_what_the_product_asks(bench: ModuleType) -> None:
    """Tables drawn by the sweep, written out item by item and judged by `noninferiority`."""
    for cell in (bench.Cell(44, "unequal", 0.1, 0.15), bench.Cell(100, "equal", 0.0, 0.06, rare=0.1)):
        wins, losses = bench.draw(cell, 30, 5)
        passed = []
        for won, lost in zip(wins, losses, strict=True):
            first, second, names, gold = [], [], [], []
            for (label, group), m in np.ndenumerate(cell.counts()):
                b, c = won[label, group], lost[label, group]
                first += [True] * b + [False] * (m - b)
                second += [False] * b + [True] * c + [False] * (m - b - c)
                names += [str(group)] * m
                gold += [str(label)] * m
            weights = stats.class_weights(gold) if cell.rare else None
            passed.append(stats.noninferiority(first, second, names, bench.MARGIN, weights).passes)
        assert bench.simulate(cell, 30, 5).passed == pytest.approx(np.mean(passed))


def test_draws_have_the_gap_and_the_correlation_they_say(bench: ModuleType) -> None:
    wins, losses = bench.draw(bench.Cell(100, "equal", 0.3, 0.15), 400, 1)
    items = wins.size * 12
    assert wins.sum() / items == pytest.approx(0.06, abs=0.003)
    assert losses.sum() / items == pytest.approx(0.09, abs=0.003)
    share = losses / 12
    between = share.var() - 0.09 * 0.91 / 12
    assert between / (0.09 * 0.91 * 11 / 12) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    "cell", [(44, "equal", 0.1, 0.15), (100, "unequal", 0.1, 0.06), (100, "equal", 0.0, 0.03, 0.0)], ids=str
)
def test_criterion_errs_no_more_than_it_says(bench: ModuleType, cell: tuple[int, str, float, float]) -> None:
    passed = bench.simulate(bench.Cell(*cell), 1_000, 11).passed
    assert passed <= scipy_stats.binom.ppf(0.999, 1_000, 0.025) / 1_000


@pytest.mark.parametrize(("n", "disagreement"), [(50, 0.06), (125, 0.03), (394, 0.15)])
def test_tango_errs_no_more_than_it_says(bench: ModuleType, n: int, disagreement: float) -> None:
    assert bench.tango_error(n, disagreement) <= 0.025


def test_without_the_rule_on_evidence_the_t_interval_would_err(bench: ModuleType) -> None:
    """Were it harmless, the rule would only cost."""
    found = bench.simulate(bench.Cell(20, "equal", 0.1, 0.03), 500, 2)
    assert found.plain > 0.1
    assert (found.passed, found.enough) == (0.0, 0.0)


@pytest.mark.slow
def test_whole_sweep(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(2_000, 0) == 0
    assert "allowed 3.6%" in capsys.readouterr().out
