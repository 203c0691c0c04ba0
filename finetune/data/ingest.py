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
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from tqdm import tqdm

from finetune import plugins
from finetune.config.schema import Config, DataConfig
from finetune.data import example_files, pseudonyms, source, split, tiles
from finetune.data.duplicates.fingerprint import Sketches
from finetune.data.image_scan import Eye, Look, looked
from finetune.errors import DataError
from finetune.example import BadRow, Example
from finetune.images import decode
from finetune.rundir import Json, RunDir, read_jsonl


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What memory keeps of an example whose images are sound.

    Attributes:
        item: what splits need; its label is the target as written.
        asked: digest of pixels and question, by which conflicting answers are found.
        empty: it is a tile without a box.
        question: digest of the question alone.
    """

    item: split.Item
    asked: bytes
    empty: bool = False
    question: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """An example with the looks at its images; `index`: which of their tiles it is, where they are cut."""

    example: Example
    looks: list[Look]
    index: int

    @property
    def same(self) -> str:
        """Tells its images from others, whole as they are: by pixels, or by bytes where nothing was decoded."""
        return decode.combine([look.pixels or bytes.fromhex(look.sha256) for look in self.looks])

    @property
    def decoded(self) -> str | None:
        """Digest of the pixels that a model sees, or None where nothing was decoded."""
        if not all(look.pixels for look in self.looks):
            return None
        shown = [look.pixels if self.example.whole is None else look.tiles[self.index] for look in self.looks]
        return decode.combine(shown)


BOX_OF = "box of "
"""What counts of examples begin with that hold a box of a label, before that label."""


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
        row = example_files.to_row(example) | {"split": example.split} | more
        self._handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def rows(self) -> Iterator[Json]:
        """Yields what was added, in order."""
        self._handle.flush()
        yield from read_jsonl(self._path)

    def examples(self) -> Iterator[Example]:
        """Yields the examples, in order."""
        return (example_files.to_example(row, row["split"]) for row in self.rows())


class Gallery:
    """Sketches of the images that were looked at, each once; of an example its first image counts.

    Args:
        sketches: where they go; None keeps none.
    """

    def __init__(self, sketches: Sketches | None) -> None:
        """Holds nothing yet."""
        self.numbers: dict[str, int] = {}
        self.wanted = sketches is not None
        self._sketches = sketches
        self._known: dict[bytes, int] = {}

    def take(self, same: str, first: Look) -> None:
        """Numbers the images of an example, known by the digest `same`, by the first of them."""
        if self._sketches is None or same in self.numbers:
            return
        if first.pixels not in self._known:
            self._known[first.pixels] = self._sketches.add(first.sketch.pop())
        self.numbers[same] = self._known[first.pixels]


def take(
    config: Config, run: RunDir, spool: Spool, gallery: Gallery | None = None
) -> tuple[list[Kept], list[BadRow], Counter[str]]:
    """Reads, limits and looks at every row; good ones go to `spool`, in the order of the source.

    Args:
        config: its `data` and `task` sections count.
        run: where adapters write their images.
        spool: takes the good rows.
        gallery: takes a sketch of what they show.

    Returns:
        what memory keeps of the good ones, the bad ones, and the counts `read`, `taken` (by `data.limit`), `kept`, and
        of `boxes` and those `in_pieces` where images are cut; examples by the labels of their boxes (`BOX_OF`).

    Raises:
        DataError: the source is empty, or a bad row that the policy does not set aside.
        ConfigError: the site key lies where it would be copied along.
    """
    pseudonyms.check_place(config.data, run.root)
    bad: list[BadRow] = []
    counts: Counter[str] = Counter()
    kept: list[Kept] = []
    with Spool(run, "rows") as aside:
        rows = _read(config, run, bad, counts)
        if config.data.limit is not None:
            rows = _limited(rows, config.data, aside)
        gallery = gallery or Gallery(None)
        for done in _looked(rows, config, run, counts, gallery.wanted):
            if isinstance(done, BadRow):
                bad.append(done)
                apply_policy(bad, config.data)
                continue
            first = done.looks[0]
            kept.append(_kept(done))
            counts.update(f"{BOX_OF}{label}" for label in {box.label for box in done.example.boxes or ()})
            gallery.take(kept[-1].item.pixels, first)
            spool.add(done.example, sha256=first.sha256, bytes=first.length, pixels_sha256=done.decoded)
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


def _kept(seen: _Seen) -> Kept:
    example = seen.example
    own = seen.decoded or f"{seen.same} {example.images[0].tile}"
    texts = "\0".join([*(turn.text for turn in example.messages), str(example.images[0].tile or "")])
    asked = hashlib.sha256("\0".join((own, *(turn.text for turn in example.messages))).encode()).digest()
    question = sys.intern(hashlib.sha256(texts.encode()).hexdigest()[:16])
    shared = None if example.split is None else sys.intern(example.split)
    same = sys.intern(seen.same)
    item = split.Item(example.id, example.group, sys.intern(example.target), same, shared, example.row)
    return Kept(item, asked, example.whole is not None and not example.boxes, question)


def _read(config: Config, run: RunDir, bad: list[BadRow], counts: Counter[str]) -> Iterator[Example]:
    """Streams the good rows of the source; bad ones obey the policy as soon as they come."""
    if plugins.load("adapter", config.data.adapter).WRITES_IMAGES:
        run.make(run.images)
    for item in tqdm(
        source.examples(config, run.images), "reading", unit=" rows", file=sys.stderr, leave=False, mininterval=0.5
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


def _looked(
    rows: Iterable[Example], config: Config, run: RunDir, counts: Counter[str], sketched: bool
) -> Iterator[_Seen | BadRow]:
    """Looks at every image of every row, several at a time, in order; where images are cut, each tile is an example."""
    rule = config.data.tiles
    rest = iter(rows)
    if (first := next(rest, None)) is None:  # the root of images that an adapter writes is there with the first
        return
    grid = partial(tiles.grid, rule=rule) if rule.size is not None else None
    eye = Eye(source.image_root(config, run), config.data.decode, grid, sketched)
    for row, looks in looked(itertools.chain([first], rest), eye, config.hardware.workers):
        counts["taken"] += 1
        counts["labels_left_out"] += int(row.meta.get("labels_left_out", 0))
        sound = [look for look in looks if isinstance(look, Look)]
        try:
            if wrong := [look for look in looks if isinstance(look, str)]:
                raise DataError(wrong[0])
            parts = tiles.cut(row, [look.size for look in sound], config)
        except DataError as error:
            yield BadRow(row.row, row.images[0].path, str(error))
            continue
        counts["kept"] += 1
        if rule.size is not None:
            counts["boxes"] += len(row.boxes or ())
            counts["in_pieces"] += tiles.in_pieces(row.boxes or (), sound[0].size, rule)
        yield from (_Seen(part, sound, index) for index, part in enumerate(parts))
