"""A table with one row an image: CSV, TSV, Excel, JSONL or Parquet. Text stays as spelled (`01`, `yes`, `1e3`)."""

import csv
import difflib
import importlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet

from data_adapters import _excel, _files
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef, Message

WRITES_IMAGES = False
_IMAGE_COLUMNS = ("filename", "file_name", "path", "image_path")
"""What other tools call the column with the path of the image."""
_MAX_FIRST_LINE = 2**20
_PACKAGES = ("elpv-dataset",)
Row = tuple[str, Mapping[str, str]]


@dataclass(frozen=True)
class Options:
    """Which columns mean what.

    Attributes:
        file: the table, where `data.path` is a folder.
        images: folder of the images, relative to the table's folder; where that of the first row is not there, images/.
        image: column with the path of the image; where there is no `image`, filename, file_name, path or image_path.
        label: column with the answer.
        id: column with unique ids; default: image path and running number.
        group: `data.group`: column of what must not span splits; default: the image.
        split: `data.split.column`: column that says train, val or test.
        question: column with a question of its own for each row.
        meta: columns carried along for subgroups.
        delimiter: of CSV files.
        sheet: of an Excel workbook that has several.
        frame: frame of animated or multi-page images.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
        package: installed Python package that stands in where `data.path` is null.
    """

    file: str = "labels.csv"
    images: str = ""
    image: str = "image"
    label: str = "label"
    id: str | None = None
    group: str | None = None
    split: str | None = None
    question: str | None = None
    meta: tuple[str, ...] = ()
    delimiter: str = ","
    sheet: str | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None
    package: str | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to: the table's own.

    Raises:
        DataError: neither a path nor an installed package is there, or the package is not known.
    """
    if path is None and options.package:
        return _package(options.package).folder()  # type: ignore[no-any-return]
    if path is None:
        raise DataError(f"data.path is not given: name the folder that holds {options.file}, or the table itself.")
    if path.is_dir() and (path / options.file).is_file():
        return path
    if path.is_file():
        return path.parent
    problem = f"holds no {options.file} (data.options.file)" if path.is_dir() else "does not exist"
    raise DataError(f"data.path={path} {problem}; expected a folder with {options.file}, or the table itself.")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Streams the rows in file order.

    Raises:
        DataError: the table is missing, not UTF-8, of an unknown kind, or lacks a column that the options name.
        ConfigError: the delimiter is not one character.
    """
    root = locate(path, options)
    if len(options.delimiter) != 1 or options.delimiter in '"\r\n':
        raise ConfigError(f"data.options.delimiter: got {options.delimiter!r}, expected one character such as ';'")
    if path is not None:
        options = _settled(root, path if path.is_file() else root / options.file, options)
    seen: Counter[str] = Counter()
    for item in _rows(root, path, options):
        if isinstance(item, BadRow):
            yield item
            continue
        where, row = item
        name = row[options.image]
        relative = _files.join(options.images, name, root)
        seen[relative] += 1
        needed = (options.image, options.label, options.id, options.group, options.question)
        empty = [column for column in needed if column and not row[column].strip()]
        if empty:
            yield BadRow(where, relative, f"no value for {', '.join(empty)}")
            continue
        yield Example(
            id=row[options.id] if options.id else f"{relative}#{seen[relative]}",
            images=(image(relative, options),),
            target=row[options.label],
            group=row[options.group] if options.group else relative,
            messages=(Message("user", row[options.question]),) if options.question else (),
            split=row[options.split] if options.split else None,
            meta={column: row[column] for column in options.meta},
            row=where,
        )


def _settled(root: Path, file: Path, options: Options) -> Options:
    """The options with the column and the folder of the images that the table has, where they were left open."""
    header, first = _beginning(file, options)
    if options.image == Options.image and header and options.image not in header:
        named = [name for name in _IMAGE_COLUMNS if name in header]
        if len(named) > 1:
            raise DataError(
                f"{file.name} has no column 'image', but {' and '.join(named)}: say data.options.image={named[0]} or "
                f"data.options.image={named[1]}."
            )
        options = replace(options, image=named[0]) if named else options
    name = first.get(options.image, "")
    if options.images == Options.images and name and not name.startswith("/") and ".." not in name:
        if not (root / name).is_file() and (root / "images" / name).is_file():
            options = replace(options, images="images")
    return options


def _beginning(file: Path, options: Options) -> tuple[list[str], dict[str, str]]:
    """Header and first row of a table; empty where it cannot be read, which is told where its rows are."""
    try:
        if file.suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as table:
                header = list(table.schema_arrow.names)
                wanted = [name for name in (options.image, *_IMAGE_COLUMNS) if name in header]
                batch = next(table.iter_batches(batch_size=1, columns=wanted), None)
                first = batch.to_pylist()[0] if batch is not None and batch.num_rows else {}
        elif file.suffix.lower() == ".xlsx":
            rows = _excel.rows(file, options.sheet)
            header = [str(name).strip() for name in next(rows, (0, []))[1] if name is not None]
            first = dict(zip(header, next(rows, (0, []))[1], strict=False))
        elif file.suffix.lower() == ".jsonl":
            with file.open(encoding="utf-8-sig") as handle:
                value = json.loads(handle.readline(_MAX_FIRST_LINE))
            first = value if isinstance(value, dict) else {}
            header = list(first)
        else:
            with file.open(encoding="utf-8-sig", newline="") as handle:
                delimiter = "\t" if file.suffix.lower() == ".tsv" else options.delimiter
                reader = csv.reader(handle, delimiter=delimiter, strict=True)
                header = [name.strip() for name in next(reader, [])]
                first = dict(zip(header, next(reader, []), strict=False))
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError, csv.Error, DataError):
        return [], {}
    return header, {name: value for name, value in first.items() if isinstance(value, str)}


def _rows(root: Path, path: Path | None, options: Options) -> Iterator[Row | BadRow]:
    if path is None:
        rows = list(_package(str(options.package)).rows(root))
        _check_columns(f"package {options.package}", list(rows[0]), options)
        yield from ((f"package {options.package} row {number}", row) for number, row in enumerate(rows, 1))
        return
    file = path if path.is_file() else root / options.file
    readers = {".csv": _csv, ".tsv": _csv, ".txt": _csv, ".xlsx": _workbook, ".jsonl": _jsonl, ".parquet": _parquet}
    if file.suffix.lower() not in readers:
        raise DataError(f"{file.name} is no table this adapter reads; expected one of {', '.join(readers)}.")
    try:
        yield from readers[file.suffix.lower()](file, options)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error


def _csv(file: Path, options: Options) -> Iterator[Row | BadRow]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else options.delimiter
    with file.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, delimiter=delimiter, strict=True)
        began = 1
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_columns(file.name, header, options)
            began = reader.line_num + 1
            for fields in reader:
                where, began = f"{file.name} line {reader.line_num}", reader.line_num + 1
                if len(fields) == len(header):
                    yield where, dict(zip(header, fields, strict=True))
                elif fields:
                    yield BadRow(where, "", _wrong_count(fields, header))
        except csv.Error as error:
            raise DataError(f"{file.name} line {began} cannot be read: {_files.csv_told(error)}.") from error


def _workbook(file: Path, options: Options) -> Iterator[Row | BadRow]:
    rows = _excel.rows(file, options.sheet)
    header = ["" if name is None else str(name).strip() for name in next(rows, (0, []))[1]]
    _check_columns(file.name, header, options)
    for number, values in rows:
        where = f"{file.name} row {number}"
        broken = [str(value) for value in values if isinstance(value, _excel.CellError)]
        if broken:
            yield BadRow(where, "", f"holds {broken[0]}, a formula that failed.")
        elif len(values) > len(header):
            yield BadRow(where, "", _wrong_count(list(map(str, values)), header))
        else:
            filled = [*values, *[None] * (len(header) - len(values))]
            yield _typed(where, dict(zip(header, filled, strict=True)), options)


def _wrong_count(fields: Sequence[str], header: Sequence[str]) -> str:
    said = f"has {len(fields)} fields, the header has {len(header)} ({','.join(header)})"
    if len(fields) < len(header):
        return f"{said}: no value for {', '.join(header[len(fields) :])}."
    return f"{said}: nothing is named for {', '.join(repr(extra) for extra in fields[len(header) :])}."


def _jsonl(file: Path, options: Options) -> Iterator[Row | BadRow]:
    with file.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            where = f"{file.name} line {number}"
            if not line.strip():
                continue
            try:
                value = json.loads(
                    line, parse_int=str, parse_float=str, parse_constant=_constant, object_pairs_hook=_files.unique
                )
            except (ValueError, RecursionError) as error:
                yield BadRow(where, "", f"is not JSON: {error}")
                continue
            if isinstance(value, dict):
                yield _typed(where, value, options)
            else:
                yield BadRow(where, "", "is JSON but not an object {column: value, ...}")


def _constant(name: str) -> str | None:
    """What JSON has no number for: Python writes a missing value as NaN."""
    return None if name == "NaN" else name


def _parquet(file: Path, options: Options) -> Iterator[Row | BadRow]:
    try:
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as table:
            _check_columns(file.name, list(table.schema_arrow.names), options)
            number = 0
            for batch in table.iter_batches(columns=[name for name, _ in _wanted(options)]):
                for value in batch.to_pylist():
                    number += 1
                    yield _typed(f"{file.name} row {number}", value, options)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {error}") from error


def _typed(where: str, value: Mapping[str, Any], options: Options) -> Row | BadRow:
    """Spells the values of a typed row as text, booleans as JSON does; what is no number (NaN) is a missing value."""
    row = {}
    for name, option in _wanted(options):
        if name not in value:
            return BadRow(where, "", f"has no {name!r} (data.{option}); it has {', '.join(map(repr, value))}")
        got = value[name]
        if isinstance(got, list | dict | bytes):
            return BadRow(where, "", f"{name!r} (data.{option}) holds a {type(got).__name__}, expected text")
        if got is None or got != got:  # NaN alone differs from itself
            got = ""
        row[name] = str(got).lower() if isinstance(got, bool) else str(got)
    return where, row


def _wanted(options: Options) -> list[tuple[str, str]]:
    """Columns that the options name, each with the key that names it (below `data.`)."""
    single = [
        (options.image, "options.image"),
        (options.label, "options.label"),
        (options.id, "options.id"),
        (options.group, "group"),
        (options.split, "split.column"),
        (options.question, "options.question"),
    ]
    return [(name, key) for name, key in single if name] + [(name, "options.meta") for name in options.meta]


def _check_columns(table: str, header: Sequence[str], options: Options) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise DataError(f"{table} has two columns named {twice[0]!r}; rename one.")
    if mark := _files.other_delimiter(header, [name for name, _ in _wanted(options)]):
        said = {"\t": "name the file .tsv", ",": "name the file .csv and leave data.options.delimiter out"}
        raise DataError(
            f"{table} has its fields separated by {mark!r}: {said.get(mark, f'say data.options.delimiter={mark!r}')}."
        )
    missing = []
    for name, key in _wanted(options):
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            missing.append(f"no column {name!r} (data.{key})" + (f", did you mean {near[0]!r}?" if near else ""))
    if missing:
        columns = ", ".join(header) or "nothing"
        raise DataError(
            f"{table} has {'; '.join(missing)}. Its header has: {columns}. Name the columns in the data.* keys."
        )


def _package(name: str) -> Any:
    """The module `_NAME.py` beside this file that knows how an installed package lays out its data."""
    if name not in _PACKAGES:
        raise DataError(f"data.options.package: {name!r} is not known; there is {', '.join(_PACKAGES)}.")
    return importlib.import_module(f"data_adapters._{name.replace('-', '_')}")
