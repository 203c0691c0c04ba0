"""Chats with the pictures in their rows: base64 and data URLs in JSON lines, Parquet and Arrow of TRL, VLMEvalKit."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from data_adapters import _boxes, _files, _inline, _turns, conversations, huggingface
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = True


@dataclass(frozen=True)
class Options:
    """Where the rows are and what they mean.

    Attributes:
        file: JSON list, JSON lines, TSV (VLMEvalKit) or Parquet; default: all Parquet and Arrow files of the folder,
            or messages.jsonl.
        images: folder that image paths are relative to, where rows name files.
        turns: `last`: one example a row; `each`: one for every reply of the assistant, with what was said before it.
        placeholders: `<image>` in the middle of a text: refuse the row, or show the image before all text (`front`).
        id: key of unique ids; default: first picture and running number.
        group: `data.group`: key of what must not span splits; default: the first picture.
        split: `data.split.column`: `path` takes train, val or test from the file's path, else a key that says it.
        meta: keys carried along for subgroups.
        drawn_on: `stored` or `upright`: what boxes mean on pictures that EXIF turns.
        frame: frame of animated or multi-page pictures.
        window: (low, high) raw values shown as black and white, for 16-bit and float pictures.
    """

    file: str | None = None
    images: str = ""
    turns: Literal["last", "each"] = "last"
    placeholders: Literal["refuse", "front"] = "refuse"
    id: str | None = None
    group: str | None = None
    split: str | None = None
    meta: tuple[str, ...] = ()
    drawn_on: Literal["stored", "upright"] | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder of the rows.

    Raises:
        DataError: it is not there.
    """
    if path is not None and path.is_file():
        return path.parent
    return _files.folder(path, "the folder with the rows (messages.jsonl, Parquet, what `save_to_disk` wrote)")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Streams the rows file by file, writing each picture once as PNG into `images`.

    Raises:
        DataError: a file is missing, damaged, or of another form.
    """
    root = locate(path, options)
    file = path.name if path is not None and path.is_file() else options.file
    seen: Counter[str] = Counter()
    by_index: dict[str, ImageRef] = {}
    for name, where, row in _rows(root, file):
        if not isinstance(row, dict):
            yield BadRow(where, "", row if isinstance(row, str) else "is not an object {key: value, ...}")
            continue
        try:
            yield from _examples(_Row(root, name, where, row, options, images), seen, by_index)
        except DataError as error:
            yield BadRow(where, "", str(error))


@dataclass(frozen=True)
class _Row:
    """One row and what it takes to read it."""

    root: Path
    file: str
    where: str
    row: dict[str, Any]
    options: Options
    images: Path

    def value(self, key: str) -> str:
        """A value that the options name, as text.

        Raises:
            DataError: it is missing or not text.
        """
        value = self.row.get(key)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise DataError(f"{key!r} is {str(value)[:40]!r}, expected text.")
        return str(value)

    @property
    def split(self) -> str | None:
        """The split that the row or its file names."""
        if self.options.split == "path":
            return _files.split_of(self.file)
        return self.value(self.options.split) if self.options.split else None


def _rows(root: Path, file: str | None) -> Iterator[tuple[str, str, Any]]:
    """Yields (file, where, row) of all files; what is not JSON yields its reason as text."""
    tables = [] if file else huggingface.saved(root, _files.shards(root, ".arrow", ".parquet"))
    for name in tables or [file or "messages.jsonl"]:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in (".arrow", ".parquet"):
            yield from ((name, f"{name} row {n}", row) for n, row in enumerate(huggingface.whole_rows(root, name), 1))
        elif suffix == ".tsv":
            yield from ((name, where, row) for where, row in _tsv(root, name))
        else:
            yield from ((name, where, row) for where, row in conversations.rows(root, name))


def _tsv(root: Path, file: str) -> Iterator[tuple[str, Any]]:
    """Rows of a file of VLMEvalKit: empty cells are left out, pictures are base64."""
    before = csv.field_size_limit(_inline.MAX_TEXT)
    try:
        with decode.check(root, file).open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t", strict=True):
                number = f"{file} row {row.get('index') or '?'}"
                if None in row or None in row.values():
                    yield number, "has another number of fields than the header"
                else:
                    yield number, {key: value for key, value in row.items() if value != ""}
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as TSV: {str(error)[:200]}.") from error
    finally:
        csv.field_size_limit(before)


def _examples(one: _Row, seen: Counter[str], by_index: dict[str, ImageRef]) -> Iterator[Example]:
    options = one.options
    pictures, row = _inline.taken_out(one.row)
    said = _turns.talk(row, options.placeholders == "front")
    if not said.images:
        raise DataError("holds no picture.")
    headers: list[decode.Header] = []
    refs: list[ImageRef] = []
    for name in said.images:
        ref, header = _written(one, name, pictures, by_index)
        refs.append(ref)
        headers.append(header)
    if (index := one.row.get("index")) and one.file.lower().endswith(".tsv"):
        by_index[str(index)] = refs[0]
    boxes = None if said.boxes is None else _placed(said, headers, options)
    seen[refs[0].path] += 1
    base = one.value(options.id) if options.id else f"{refs[0].path}#{seen[refs[0].path]}"
    ends = [index for index, turn in enumerate(said.messages) if turn.role == "assistant"]
    for index in [end for end in ends if end not in said.unlearnt] if options.turns == "each" else ends[-1:]:
        is_last = index == ends[-1]
        yield Example(
            id=base if len(ends) == 1 or options.turns == "last" else f"{base}/{ends.index(index) + 1}",
            images=tuple(refs),
            target=said.messages[index].text,
            group=one.value(options.group) if options.group else refs[0].path,
            messages=said.messages[:index],
            split=one.split,
            rejected=said.rejected if is_last else None,
            boxes=boxes if is_last else None,
            meta={key: one.value(key) for key in options.meta},
            row=one.where,
        )


def _written(
    one: _Row, name: str, pictures: Mapping[str, bytes], by_index: Mapping[str, ImageRef]
) -> tuple[ImageRef, decode.Header]:
    """One picture as written into the run, and the header of what was read."""
    window = (one.options.window[0], one.options.window[1]) if one.options.window else None
    if name in by_index:  # VLMEvalKit writes a picture once; later rows give the index of the first
        ref = by_index[name]
        return ref, decode.header(one.images.parent, ref)
    if name in pictures:
        ref = ImageRef(f"{one.where}, picture", frame=one.options.frame, window=window)
        return _inline.write(pictures[name], ref, one.images), decode.header_of(pictures[name], ref)
    ref = ImageRef(_files.join(one.options.images, name, one.root), frame=one.options.frame, window=window)
    return _inline.write_file(one.root, ref, one.images), decode.header(one.root, ref)


def _placed(said: _turns.Talk, headers: list[decode.Header], options: Options) -> tuple[Box, ...]:
    placed: list[Box] = []
    for index, header in enumerate(headers):
        mine = [box for box in said.boxes or () if box.image == index]
        if mine:
            placed += _boxes.scaled(mine, header, _boxes.drawn_on(header, options.drawn_on, None), said.shares)
    return tuple(placed)
