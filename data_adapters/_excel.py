"""Rows of an Excel workbook (.xlsx), each cell as the value that is stored, never recalculated."""

import datetime
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.errors import DataError

MAX_UNPACKED_BYTES = 2**30
"""A workbook is a zip archive; what it unpacks to is bounded before it is opened."""

_DAMAGED = (
    zipfile.BadZipFile,
    ElementTree.ParseError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    RuntimeError,
)
"""What openpyxl raises on files that are no sound workbook, an encrypted archive included."""


def rows(file: Path, sheet: str | None) -> Iterator[tuple[int, list[Any]]]:
    """Yields (row number as Excel shows it, values); trailing empty cells and empty rows are left out.

    Args:
        file: the workbook.
        sheet: its name; None takes the only one.

    Raises:
        DataError: openpyxl is missing, the workbook is damaged or too large, or the sheet does not exist.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise DataError(f"{file.name}: Excel files need openpyxl: pip install 'onsite-vlm[excel]'.") from error
    try:
        _check_size(file)
        with file.open("rb") as handle:  # openpyxl leaves its own open where the workbook is damaged
            book = openpyxl.load_workbook(handle, read_only=True, data_only=True, keep_links=False)
            for number, cells in enumerate(_sheet(book, file, sheet).iter_rows(), 1):
                values = [_value(cell.value, cell.data_type, number) for cell in cells]
                while values and values[-1] is None:
                    values.pop()
                if values:
                    yield number, values
            book.close()
    except _DAMAGED as error:
        raise DataError(f"{file.name} cannot be read as an Excel workbook: {error}.") from error


def _check_size(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    if total > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{file.name} unpacks to {total:,} bytes; at most {MAX_UNPACKED_BYTES:,} are read. Save it as CSV."
        )


def _sheet(book: Any, file: Path, sheet: str | None) -> Any:
    there = ", ".join(map(repr, book.sheetnames))
    if sheet is None and len(book.sheetnames) > 1:
        raise DataError(f"{file.name} has several sheets; name one with data.options.sheet: {there}.")
    if sheet is not None and sheet not in book.sheetnames:
        raise DataError(f"{file.name} has no sheet {sheet!r} (data.options.sheet); there is {there}.")
    return book[sheet or book.sheetnames[0]]


def _value(value: Any, kind: str, number: int) -> Any:
    """A cell as text or number; errors (`#N/A`) stay recognisable, dates are written as ISO 8601."""
    if kind == "e":
        return CellError(str(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


class CellError(str):
    """A cell whose formula failed."""

    __slots__ = ()
