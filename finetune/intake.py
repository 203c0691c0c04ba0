"""What `prepare` takes in: rows streamed from the adapter, every image looked at once, what is kept spooled to disk.

Memory holds a few hundred bytes a row (what splits and duplicates are judged by), never examples or pixels.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

from tqdm import tqdm

from finetune import dataset, named, pixels, split
from finetune.config import Config, DataConfig
from finetune.errors import DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.rundir import Json, RunDir, read_jsonl, sha256_file

_CHUNK = 64
"""Rows looked at ahead: bounds memory, keeps every core busy (Pillow decodes outside the interpreter lock)."""

_REMEMBERED = 2**16
"""Images whose digests are remembered: rows that share an image, as questions do, decode it once."""

_Complete = Callable[[Example, Sequence[tuple[int, int]]], Example]


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What memory keeps of an example whose images are sound.

    Attributes:
        item: what splits need; its label is the target as written.
        asked: digest of pixels and question, by which conflicting answers are found.
    """

    item: split.Item
    asked: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class _Look:
    """One image: (height, width) upright, digest and size of its file, digest of its pixels (empty: not decoded)."""

    size: tuple[int, int]
    sha256: str
    length: int
    pixels: bytes


class Spool:
    """Examples on disk, one JSON object a line, in order; the file goes when the block ends.

    Args:
        run: the run, in whose `data/` it lies.
        name: of the file.
    """

    def __init__(self, run: RunDir, name: str) -> None:
        """Creates an empty file."""
        self._path = run.make(run.data) / f".{name}.partial.jsonl"
        self._handle = self._path.open("w", encoding="utf-8", newline="\n")
        os.fchmod(self._handle.fileno(), run.file_mode)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()
        self._path.unlink(missing_ok=True)

    def add(self, example: Example, **more: object) -> None:
        """Appends one example and what else is to be known of it."""
        row = dataset.to_row(example) | {"split": example.split} | more
        self._handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def rows(self) -> Iterator[Json]:
        """Yields what was added, in order."""
        self._handle.flush()
        yield from read_jsonl(self._path)

    def examples(self) -> Iterator[Example]:
        """Yields the examples, in order."""
        return (dataset.to_example(row, row["split"]) for row in self.rows())


def take(config: Config, run: RunDir, spool: Spool) -> tuple[list[Kept], list[BadRow], Counter[str]]:
    """Reads, limits and looks at every row; good ones go to `spool`, in the order of the source.

    Returns:
        what memory keeps of the good ones, the bad ones, and the counts `read` and `taken` (by `data.limit`).

    Raises:
        DataError: the source is empty, or a bad row that the policy does not set aside.
    """
    bad: list[BadRow] = []
    counts: Counter[str] = Counter()
    kept: list[Kept] = []
    with Spool(run, "rows") as aside:
        rows = _read(config, run, bad, counts)
        if config.data.limit is not None:
            rows = _limited(rows, config.data, aside)
        for done in _looked(rows, config, run):
            counts["taken"] += 1
            if isinstance(done, BadRow):
                bad.append(done)
                apply_policy(bad, config.data)
                continue
            example, looks = done
            first = looks[0]
            whole = pixels.combine([look.pixels for look in looks]) if all(look.pixels for look in looks) else None
            same = whole or pixels.combine([bytes.fromhex(look.sha256) for look in looks])
            kept.append(_kept(example, same))
            spool.add(example, sha256=first.sha256, bytes=first.length, pixels_sha256=whole)
    if run.images.is_dir():
        for path in run.images.iterdir():
            path.chmod(run.file_mode)
    if not counts["read"] and not bad:
        raise DataError(f"{source_name(config)} holds no rows: {config.data.adapter} found no images or lines in it.")
    return kept, bad, counts


def source_name(config: Config) -> str:
    """What errors call the source."""
    return f"data.path={config.data.path}" if config.data.path else f"data.adapter={config.data.adapter}"


def worded(bad: BadRow) -> str:
    """A bad row in one line."""
    return (
        f"{bad.row}: {bad.reason}" if bad.row == bad.path or not bad.path else f"{bad.row} ({bad.path}): {bad.reason}"
    )


def apply_policy(bad: Sequence[BadRow], data: DataConfig) -> None:
    """Fails on the first bad row, or on the first one over the limit.

    Raises:
        DataError: names row, file and reason.
    """
    if bad and data.on_bad_row == "fail":
        raise DataError(
            f"{worded(bad[0])}\nCorrect or remove it, or set aside all such rows with data.on_bad_row=quarantine."
        )
    if len(bad) > data.bad_row_limit:
        shown = "\n".join(worded(row) for row in bad[:5])
        raise DataError(f"more than data.bad_row_limit={data.bad_row_limit} rows are bad; the first are\n{shown}")


def _kept(example: Example, same: str) -> Kept:
    asked = hashlib.sha256("\0".join((same, *(turn.text for turn in example.messages))).encode()).digest()
    shared = None if example.split is None else sys.intern(example.split)
    item = split.Item(example.id, example.group, sys.intern(example.target), sys.intern(same), shared, example.row)
    return Kept(item, asked)


def _read(config: Config, run: RunDir, bad: list[BadRow], counts: Counter[str]) -> Iterator[Example]:
    """Streams the good rows of the source; bad ones obey the policy as soon as they come."""
    if named.load("adapter", config.data.adapter).WRITES_IMAGES:
        run.make(run.images)
    for item in tqdm(
        dataset.examples(config, run.images), "reading", unit=" rows", file=sys.stderr, leave=False, mininterval=0.5
    ):
        if isinstance(item, Example):
            counts["read"] += 1
            yield item
        else:
            bad.append(item)
            apply_policy(bad, config.data)


def _limited(rows: Iterable[Example], data: DataConfig, aside: Spool) -> Iterator[Example]:
    """Whole groups until `data.limit`: all rows are read and set aside before the groups are known."""
    items = []
    for row in rows:
        aside.add(row)
        items.append(split.Item(row.id, row.group, row.target))
    groups = split.limit(items, data.limit or 0, data.split.salt)
    return (row for row in aside.examples() if row.group in groups)


def _looked(rows: Iterable[Example], config: Config, run: RunDir) -> Iterator[tuple[Example, list[_Look]] | BadRow]:
    """Looks at every image of every row, several at a time, in order."""
    rest = iter(rows)
    if (first := next(rest, None)) is None:
        return
    root = dataset.image_root(config, run)
    rest = itertools.chain([first], rest)
    look = lru_cache(maxsize=_REMEMBERED)(partial(_decoded if config.data.decode == "full" else _header, root))
    complete = partial(named.load("task", config.task.kind).complete, config.task)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while chunk := list(itertools.islice(rest, _CHUNK)):
            yield from pool.map(lambda row: _checked(row, look, complete), chunk)


def _checked(
    row: Example, look: Callable[[ImageRef], _Look], complete: _Complete
) -> tuple[Example, list[_Look]] | BadRow:
    try:
        looks = [look(ref) for ref in row.images]
        return complete(row, [found.size for found in looks]), looks
    except DataError as error:
        return BadRow(row.row, row.images[0].path, str(error))


def _decoded(root: Path, ref: ImageRef) -> _Look:
    image = pixels.load(root, ref)
    place = pixels.check(root, ref.path)
    return _Look((image.height, image.width), sha256_file(place), place.stat().st_size, pixels.fingerprint(image))


def _header(root: Path, ref: ImageRef) -> _Look:
    """Without decoding: what is damaged further in shows in training; duplicates are found by their bytes alone."""
    width, height = pixels.header(root, ref).size
    place = pixels.check(root, ref.path)
    return _Look((height, width), sha256_file(place), place.stat().st_size, b"")
