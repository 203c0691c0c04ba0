"""Files beside images: found by key, opened only where it is safe, read as text or strict JSON."""

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from data_adapters.image_folder import SPLIT_WORDS, scan
from finetune.errors import DataError
from finetune.example import BadRow
from finetune.images import decode

MAX_TEXT_BYTES = 16 * 2**20
"""Largest annotation file of one image; whole-set files have no cap of their own."""

_NUMBERED = re.compile(r"(.*-)(\d+)-of-(\d+)(\.\w+)", re.DOTALL)
"""How `datasets` names the parts of a set."""


def folder(path: Path | None, expected: str) -> Path:
    """The folder of a source.

    Raises:
        DataError: it is not given, missing or not a folder.
    """
    if path is None:
        raise DataError(f"data.path is not given: name {expected} (data.path=FOLDER).")
    if not path.is_dir():
        raise DataError(f"data.path={path} {'is a file' if path.exists() else 'does not exist'}; expected {expected}.")
    return path


def read_text(root: Path, relative: str, max_bytes: int | None = MAX_TEXT_BYTES) -> str:
    """The text of a regular file below `root`; links out of it, pipes and large files are refused unopened.

    Raises:
        DataError: it cannot be read, is too large, or is not UTF-8.
    """
    place = decode.check(root, relative, "file", may_be_empty=True)
    if max_bytes is not None and place.stat().st_size > max_bytes:
        raise DataError(f"{relative} has {place.stat().st_size:,} bytes; at most {max_bytes:,} are read.")
    try:
        return place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{relative} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{relative} cannot be read ({error.strerror}).") from error


def table(root: Path, file: str, columns: Sequence[str | None]) -> Iterator[tuple[str, dict[str, str]] | BadRow]:
    """Yields (where, row) of a CSV file beside the images; rows with another number of fields are bad.

    Args:
        root: of the source.
        file: the table.
        columns: that must exist and be filled in every row; None stands for none.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    text = io.StringIO(read_text(root, file, max_bytes=None), newline="")
    reader, began = csv.DictReader(text, strict=True), 1
    wanted = [name for name in columns if name]
    try:
        header = list(reader.fieldnames or ())
        began = reader.line_num + 1
        missing = [name for name in wanted if name not in header]
        if missing or len(set(header)) < len(header):
            said = f"no column {missing[0]!r}" if missing else "two columns of one name"
            mark = other_delimiter(header, wanted)
            hint = f" Its fields are separated by {mark!r}: save it with commas." if mark else ""
            raise DataError(f"{file} has {said}; its header has {', '.join(header) or 'nothing'}.{hint}")
        for row in reader:
            where, began = f"{file} line {reader.line_num}", reader.line_num + 1
            if None in row or None in row.values():
                yield BadRow(where, "", f"has another number of fields than the header ({', '.join(header)}).")
            elif empty := [name for name in wanted if not row[name].strip()]:
                yield BadRow(where, "", f"no value for {', '.join(empty)}")
            else:
                yield where, row
    except csv.Error as error:
        raise DataError(f"{file} line {began} cannot be read: {csv_told(error)}.") from error


def csv_told(error: csv.Error) -> str:
    """What is wrong with a table, and what mends it where a quote is the cause."""
    if "expected after" in str(error):
        return f"a quote that begins a field is not closed, or fields are separated otherwise ({error})"
    return f"a quote that begins a field is not closed ({error})" if "end of data" in str(error) else str(error)


def other_delimiter(header: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The character that separates the fields of a header in which a wanted column is missing, where it shows."""
    missing = [name for name in wanted if name not in header]
    seen = (mark for mark in ";\t|," if any(missing[0] in map(str.strip, name.split(mark)) for name in header))
    return next(seen, None) if missing else None


def parse_json(text: str) -> Any:
    """Strict JSON: no key twice, no NaN.

    Raises:
        DataError: what is wrong, in `json`'s words.
    """
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}") from error


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Objects as JSON means them; of a key that stands twice, `json` would keep the last one without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"it has {Counter(name for name, _ in pairs).most_common(1)[0][0]!r} twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def load_json(root: Path, relative: str) -> Any:
    """A whole JSON file.

    Raises:
        DataError: it cannot be read or is not strict JSON; names the file.
    """
    try:
        return parse_json(read_text(root, relative, max_bytes=None))
    except DataError as error:
        raise DataError(f"{relative} {error}" if str(error).startswith("is not JSON") else str(error)) from error


def images_by_key(root: Path, below: str) -> tuple[dict[str, list[str]], list[BadRow]]:
    """Images below a folder by their path without ending, relative to that folder; paths are relative to `root`.

    Raises:
        DataError: the folder does not exist.
    """
    place = inside(root, below)
    found: dict[str, list[str]] = defaultdict(list)
    bad: list[BadRow] = []
    for item in scan(place):
        if isinstance(item, BadRow):
            bad.append(BadRow(join(below, item.row), join(below, item.path), item.reason))
        else:
            found[key_of(item)].append(join(below, item))
    return dict(found), bad


def files_by_key(root: Path, below: str, suffix: str) -> dict[str, str]:
    """Files with an ending below a folder by key; paths are relative to `root`. Links to folders are not followed.

    Raises:
        DataError: the folder does not exist, one below it cannot be listed, or two files share a key.
    """
    place = inside(root, below)
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(place, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(suffix) and not name.startswith("."):
                relative = (Path(parent) / name).relative_to(place).as_posix()
                path = join(below, relative)
                if (other := found.setdefault(key_of(relative), path)) != path:
                    raise DataError(f"{other!r} and {path!r} share a key; which one is meant?")
    return found


def unlisted(error: OSError) -> NoReturn:
    """For `os.walk`, which would pass by a folder that may not be listed.

    Raises:
        DataError: names the folder.
    """
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}).") from error


def shards(root: Path, *suffixes: str) -> list[str]:
    """Files that hold one set together, sorted.

    Raises:
        DataError: a folder is a link, or some of the files numbered `00001-of-00005` are not there.
    """
    for parent, folders, _ in os.walk(root, onerror=unlisted):
        for name in folders:
            if os.path.islink(place := os.path.join(parent, name)) and not name.startswith("."):
                raise DataError(f"{place} is a link to a folder; links are not followed, copy the folder.")
    found = sorted(file for suffix in suffixes for file in files_by_key(root, "", suffix).values())
    sets: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for file in found:
        if match := _NUMBERED.fullmatch(file):
            sets[match[1], match[3], match[4]].add(int(match[2]))
    for (begin, total, end), there in sets.items():
        missing = next((number for number in range(int(total)) if number not in there), None)
        if missing is not None:
            raise DataError(f"{begin}{missing:0{len(total)}}-of-{total}{end} is not there, so the set is not whole.")
    return found


def inside(root: Path, below: str) -> Path:
    """A folder that the options name below the root of the source.

    Raises:
        DataError: it is absolute, climbs out, or does not exist.
    """
    parts = PurePosixPath(below).parts
    if PurePosixPath(below).is_absolute() or ".." in parts:
        raise DataError(f"{below!r} is not below data.path; folders in data.options are relative to it.")
    place = root / below
    if not place.is_dir():
        raise DataError(f"data.path={root} has no folder {below!r}; it is named in data.options.")
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root)):
        raise DataError(f"the folder {below!r} is a link out of data.path={root}; copy it there instead.")
    return place


def join(below: str, relative: str, root: Path | None = None) -> str:
    """A POSIX path below a folder, which may be empty.

    A URL stays one, to be refused as such, and so does an absolute path, unless it lies below `root`.
    """
    if root is not None and relative.startswith("/"):
        whole = PurePosixPath(os.path.abspath(root))
        if (place := PurePosixPath(relative)).is_relative_to(whole) and place != whole:
            return place.relative_to(whole).as_posix()
    if "://" in relative or relative.startswith(("/", "data:")):
        return relative
    return f"{below.strip('/')}/{relative}" if below.strip("/") else relative


def key_of(relative: str) -> str:
    """A path without its ending: what an image and its annotation share."""
    path = PurePosixPath(relative)
    return path.with_suffix("").as_posix() if path.suffix else path.as_posix()


def lone(key: str, paths: list[str]) -> Iterator[BadRow]:
    """Bad rows for images that share one key, which no annotation can tell apart."""
    for path in paths:
        others = ", ".join(repr(other) for other in paths if other != path)
        yield BadRow(path, path, f"shares the key {key!r} with {others}; which one does the annotation mean?")


def split_of(relative: str) -> str | None:
    """The split that a path names: the first of its words that is train, val, valid, validation or test."""
    words = "".join(char if char.isalnum() else " " for char in relative.lower()).split()
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
