"""The changes of bench/stock_behaviour.py still fit the code, the tests they name, and the page that lists them."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import stock_behaviour  # bench/ is no package

ROOT = stock_behaviour.ROOT


@pytest.mark.parametrize("row", stock_behaviour.ROWS, ids=lambda row: str(row.number))
def test_a_change_still_has_its_place_and_its_test(row):
    assert (ROOT / row.file).read_text(encoding="utf-8").count(row.ours) == 1
    assert row.theirs not in (ROOT / row.file).read_text(encoding="utf-8")
    file, _, name = row.test.partition("::")
    assert f"\ndef {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_lists_every_row_that_was_seen_to_go_wrong():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for row in stock_behaviour.ROWS:
        assert f"| {row.number} | {row.stock}, in {row.file} | `{row.test}` |" in page
    assert [row.number for row in stock_behaviour.ROWS] == [*range(1, 9), *range(15, 21)]
