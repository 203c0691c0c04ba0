"""A folder that `datasets` saved (Arrow), or Parquet files with pictures inside; read without that library."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow
import pyarrow.parquet
from PIL import Image

from data_adapters import _files, _written
from finetune.errors import DataError
from finetune.example import BadRow, Example, ImageRef, Message
from finetune.images import decode

WRITES_IMAGES = True
_INDICES = ("_indices_data_files", "_indices_files", "_indices")
"""Keys of `state.json` under which a selection of rows stands."""
_ROWS = 32
"""Rows in memory at once: each holds its pictures."""


@dataclass(frozen=True)
class Options:
    """Which columns mean what.

    Attributes:
        image: column with the picture, or with a list of them.
        label: column with the answer; the names of a ClassLabel are used.
        id: column with unique ids; default: file and row number.
        group: `data.group`: column of what must not span splits; default: each row for itself.
        split: `data.split.column`: `path` takes train, val or test from the file's path, else a column.
        question: column with a question of its own for each row.
        meta: columns carried along for subgroups.
        frame: frame of animated or multi-page images.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    image: str = "image"
    label: str = "label"
    id: str | None = None
    group: str | None = None
    split: str | None = None
    question: str | None = None
    meta: tuple[str, ...] = ()
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder of the files.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, "the folder that `save_to_disk` wrote, or one with Parquet files")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Streams the rows file by file, in sorted order, writing each picture once as PNG into `images`.

    Raises:
        DataError: the folder holds no such files, one is damaged, or a column is missing.
    """
    root = locate(path, options)
    kept = saved(root, _files.shards(root, ".arrow", ".parquet"))
    if not kept:
        raise DataError(f"data.path={root} holds neither .arrow nor .parquet files.")
    for file in kept:
        place = decode.check(root, file)
        try:
            for number, (row, names) in enumerate(_batches(place, file, options), 1):
                yield _item(root, file, number, row, names, options, images)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read: {error}") from error


def saved(root: Path, found: list[str]) -> list[str]:
    """The files of a set: beside a `state.json` those that it lists, in its order, and elsewhere all but caches.

    Raises:
        DataError: the note is damaged, lists a file that is not there, or a selection of rows that is not applied.
    """
    kept: list[str] = []
    by_folder: dict[str, list[str]] = defaultdict(list)
    for file in found:
        if not PurePosixPath(file).name.startswith("cache-"):
            by_folder[PurePosixPath(file).parent.as_posix()].append(file)
    for folder, files in by_folder.items():
        note = _files.join("" if folder == "." else folder, "state.json")
        kept += _listed(root, note, files) if (root / note).is_file() else _without_indices(files)
    return kept


def _without_indices(files: list[str]) -> list[str]:
    return [file for file in files if not PurePosixPath(file).name.startswith("indices-")]


def _listed(root: Path, note: str, files: list[str]) -> list[str]:
    """The files that the `state.json` of their folder lists."""
    state = _files.load_json(root, note)
    indices = [state[key] for key in _INDICES if state.get(key)] if isinstance(state, dict) else []
    if indices:
        raise DataError(
            f"{note} selects rows by {str(indices[0])[:80]}, which is not applied here: all rows would be read. Save "
            "the set with `dataset.flatten_indices().save_to_disk(FOLDER)`."
        )
    entries = state.get("_data_files") if isinstance(state, dict) else None
    names = [entry.get("filename") for entry in entries or () if isinstance(entry, dict)]
    if not isinstance(entries, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{note} lists no _data_files, each with its filename; save the set again.")
    folder = PurePosixPath(note).parent.as_posix()
    wanted = [_files.join("" if folder == "." else folder, str(name)) for name in names]
    if missing := [name for name in wanted if name not in files]:
        raise DataError(f"{note} lists {missing[0]!r}, which is not there, so the set is not whole.")
    return wanted


def _batches(place: Path, file: str, options: Options) -> Iterator[tuple[dict[str, Any], list[str] | None]]:
    """Yields rows with the columns that the options name, and the names of the label's classes."""
    if place.suffix.lower() == ".parquet":
        with pyarrow.parquet.ParquetFile(place, pre_buffer=False) as table:  # else it reads far ahead
            wanted, names = _columns(table.schema_arrow, file, options)
            for batch in table.iter_batches(batch_size=_ROWS, columns=wanted):
                yield from ((row, names) for row in batch.to_pylist())
        return
    with pyarrow.memory_map(str(place)) as source, pyarrow.ipc.open_stream(source) as stream:
        wanted, names = _columns(stream.schema, file, options)
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS):
                yield from ((row, names) for row in batch.select(wanted).slice(start, _ROWS).to_pylist())


def whole_rows(root: Path, file: str) -> Iterator[dict[str, Any]]:
    """Yields every row of a Parquet or Arrow file below `root` with all its columns.

    Raises:
        DataError: it cannot be read.
    """
    place = decode.check(root, file)
    try:
        if place.suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(place, pre_buffer=False) as table:  # else it reads far ahead
                for batch in table.iter_batches(batch_size=_ROWS):
                    yield from batch.to_pylist()
            return
        with pyarrow.memory_map(str(place)) as source, pyarrow.ipc.open_stream(source) as stream:
            for batch in stream:
                for start in range(0, batch.num_rows, _ROWS):
                    yield from batch.slice(start, _ROWS).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _columns(schema: Any, file: str, options: Options) -> tuple[list[str], list[str] | None]:
    """The columns to read, and the class names that `datasets` noted for the label."""
    split = options.split if options.split != "path" else None
    named = [options.image, options.label, options.id, options.group, split, options.question, *options.meta]
    wanted = list(dict.fromkeys(name for name in named if name))
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise DataError(f"{file} has no column {missing[0]!r}; it has {', '.join(schema.names)}.")
    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(noted)["info"]["features"].get(options.label, {}) if noted else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: its note of features is damaged ({error}).") from error
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return wanted, names


def _item(
    root: Path,
    file: str,
    number: int,
    row: Mapping[str, Any],
    names: list[str] | None,
    options: Options,
    images: Path,
) -> Example | BadRow:
    where = f"{file} row {number}"
    try:
        texts = {name: _text(row[name], name) for name in row if name not in (options.image, options.label)}
        target = _label(row[options.label], names, options)
        pictures = row[options.image] if isinstance(row[options.image], list) else [row[options.image]]
        if not pictures:
            raise DataError("holds no picture.")
        decoded = [_picture(root, picture, where, options) for picture in pictures]
    except DataError as error:
        return BadRow(where, "", str(error))
    split = _files.split_of(file) if options.split == "path" else texts[options.split] if options.split else None
    return Example(
        id=texts[options.id] if options.id else f"{file}#{number}",
        images=tuple(_written.write(picture, images) for picture in decoded),
        target=target,
        group=texts[options.group] if options.group else f"{file}#{number}",
        messages=(Message("user", texts[options.question]),) if options.question else (),
        split=split,
        meta={name: texts[name] for name in options.meta},
        row=where,
    )


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int) or not str(value).strip():
        raise DataError(f"{name!r} is {repr(value)[:60]}, expected text.")
    return str(value)


def _label(value: Any, names: list[str] | None, options: Options) -> str:
    if names is None:
        return _text(value, options.label)
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(f"{options.label!r} is {value!r}; the classes are 0 to {len(names) - 1} (-1 is unlabelled).")
    return names[value]


def _picture(root: Path, value: Any, where: str, options: Options) -> Image.Image:
    """A picture as bytes, or as a path below the folder."""
    window = (options.window[0], options.window[1]) if options.window else None
    content = value.get("bytes") if isinstance(value, dict) else value
    path = value.get("path") if isinstance(value, dict) else value if isinstance(value, str) else None
    if isinstance(content, bytes):
        return decode.decode(content, ImageRef(f"{where}, picture", frame=options.frame, window=window))
    if not isinstance(path, str):
        raise DataError(f"{options.image!r} is {repr(value)[:60]}, expected the bytes of a picture.")
    return decode.load(root, ImageRef(path, frame=options.frame, window=window))
