"""Excel workbooks by hand: what a cell becomes, sheets, empty rows, formulas, and files that are no workbook."""

import datetime
import zipfile

import openpyxl
import pytest

from data_adapters import _excel, table
from data_adapters.table import Options
from finetune.errors import DataError
from finetune.example import BadRow


def book(place, rows, **sheets):
    made = openpyxl.Workbook()
    made.active.title = "first"
    for row in rows:
        made.active.append(row)
    for title, more in sheets.items():
        sheet = made.create_sheet(title)
        for row in more:
            sheet.append(row)
    made.save(place)
    return place


def cells(place, sheet=None):
    return list(_excel.rows(place, sheet))


def test_cells_as_they_are_stored(tmp_path):
    stored = ["01", "yes", "1e3", 7, 0.5, True, "\u00fc\n\u6f22", " x "]
    assert cells(book(tmp_path / "t.xlsx", [stored])) == [(1, stored)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.datetime(2024, 2, 29), "2024-02-29"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 13, 5), "2024-02-29T13:05:00"),
        (datetime.time(13, 5, 7), "13:05:07"),
    ],
)
def test_dates_are_written_as_iso(tmp_path, value, text):
    assert cells(book(tmp_path / "t.xlsx", [[value]])) == [(1, [text])]


def test_empty_rows_keep_their_numbers_and_trailing_cells_go(tmp_path):
    rows = [["a", None, "c", None], [None, None], [None, "x"], [], ["end"]]
    assert cells(book(tmp_path / "t.xlsx", rows)) == [(1, ["a", None, "c"]), (3, [None, "x"]), (5, ["end"])]


def test_a_sheet_of_several_is_named(tmp_path):
    place = book(tmp_path / "t.xlsx", [["a"]], second=[["b"]])
    assert cells(place, "second") == [(1, ["b"])]
    with pytest.raises(
        DataError, match=r"t.xlsx has several sheets; name one with data.options.sheet: 'first', 'second'"
    ):
        cells(place)
    with pytest.raises(DataError, match=r"t.xlsx has no sheet 'third' \(data.options.sheet\); there is 'first'"):
        cells(place, "third")


def test_formulas_that_failed_stay_recognisable(tmp_path):
    place = tmp_path / "t.xlsx"
    made = openpyxl.Workbook()
    made.active["A1"] = "#N/A"
    assert made.active["A1"].data_type == "e"
    made.save(place)
    ((number, (value,)),) = cells(place)
    assert (number, value, type(value)) == (1, "#N/A", _excel.CellError)


def test_formulas_are_never_calculated(tmp_path):
    """openpyxl stores no result with a formula, so nothing is there to be read."""
    assert cells(book(tmp_path / "t.xlsx", [["x", "=1+1"]])) == [(1, ["x"])]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"image,label\na.png,x\n"])
def test_files_that_are_no_workbook(tmp_path, content):
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=r"t.xlsx cannot be read as an Excel workbook: "):
        cells(tmp_path / "t.xlsx")


def test_an_archive_that_is_no_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(DataError, match=r"t.xlsx cannot be read as an Excel workbook: "):
        cells(tmp_path / "t.xlsx")


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml"])
def test_a_workbook_with_a_damaged_part(tmp_path, part):
    whole = book(tmp_path / "whole.xlsx", [["a"]])
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, source.read(entry)[: 40 if entry.filename == part else None])
    with pytest.raises(DataError, match=r"t.xlsx cannot be read as an Excel workbook: "):
        cells(tmp_path / "t.xlsx")


def test_a_workbook_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_excel, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(DataError, match=r"t.xlsx unpacks to [\d,]+ bytes; at most 1,000 are read. Save it as CSV"):
        cells(book(tmp_path / "t.xlsx", [["a"]]))


def read(place, **options):
    return list(table.read(place, Options(**options), place.parent))


def test_a_workbook_as_a_table(tmp_path):
    rows = [["image", "label", "lot"], ["a.png", "01", 7], [], ["b.png", True, datetime.date(2024, 1, 2)]]
    first, second = read(book(tmp_path / "t.xlsx", rows), group="lot")
    assert (first.id, first.target, first.group, first.row) == ("a.png#1", "01", "7", "t.xlsx row 2")
    assert (second.target, second.group, second.row) == ("true", "2024-01-02", "t.xlsx row 4")


def test_rows_of_a_workbook_that_are_wrong(tmp_path):
    rows = [["image", "label"], ["a.png"], ["a.png", "x", "more"], ["#DIV/0!", "x"], ["a.png", "x"]]
    *bad, good = read(book(tmp_path / "t.xlsx", rows))
    assert bad == [
        BadRow("t.xlsx row 2", "a.png", "no value for label"),
        BadRow("t.xlsx row 3", "", "has 3 fields, the header has 2 (image,label): nothing is named for 'more'."),
        BadRow("t.xlsx row 4", "", "holds #DIV/0!, a formula that failed."),
    ]
    assert good.row == "t.xlsx row 5"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["image", "labels"], r"t.xlsx has no column 'label' \(data.options.label\), did you mean 'labels'\?"),
        (["image", "label", "label"], r"t.xlsx has two columns named 'label'; rename one"),
        ([], r"t.xlsx has no column 'image'.*Its header has: nothing"),
    ],
)
def test_headers_of_a_workbook(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        read(book(tmp_path / "t.xlsx", [header]))
