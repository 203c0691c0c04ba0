"""Workbooks: values as stored, sheets by name, sizes bounded."""

import datetime

import openpyxl
import pytest

from data_adapters import _excel
from data_adapters.table import Options, read
from finetune.errors import DataError


@pytest.fixture
def book(tmp_path):
    """Saves sheets of rows and reads them back."""

    def save(sheets, **options):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for name, rows in sheets.items():
            sheet = made.create_sheet(name)
            for row in rows:
                sheet.append(row)
        made.save(tmp_path / "t.xlsx")
        return list(read(tmp_path / "t.xlsx", Options(**options), tmp_path))

    return save


def test_values_keep_their_type_and_text_its_spelling(book):
    rows = [["image", "label", "day"], ["a.png", "01", datetime.date(2026, 1, 2)], [None, None], ["b.png", 1, True]]
    first, second = book({"one": rows}, meta=("day",))
    assert (first.target, first.meta, first.row) == ("01", {"day": "2026-01-02"}, "t.xlsx row 2")
    assert (second.target, second.meta, second.row) == ("1", {"day": "true"}, "t.xlsx row 4")


def test_a_sheet_is_named_where_there_are_several(book):
    rows = [["image", "label"], ["a.png", "x"]]
    with pytest.raises(DataError, match=r"has several sheets; name one with data.options.sheet: 'one', 'two'"):
        book({"one": rows, "two": rows})
    with pytest.raises(DataError, match=r"has no sheet 'three' \(data.options.sheet\)"):
        book({"one": rows}, sheet="three")
    assert len(book({"one": rows, "two": rows}, sheet="two")) == 1


def test_what_a_workbook_unpacks_to_is_bounded(book, monkeypatch):
    monkeypatch.setattr(_excel, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DataError, match=r"t.xlsx unpacks to [\d,]+ bytes; at most 100 are read"):
        book({"one": [["image", "label"]]})


def test_a_column_that_is_missing(book):
    with pytest.raises(DataError, match=r"no column 'label'.*did you mean 'lable'"):
        book({"one": [["image", "lable"], ["a.png", "x"]]})
