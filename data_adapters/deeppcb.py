"""DeepPCB: a tested board with its defect-free template, two images in one question, and boxes on the tested one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_adapters import _boxes, _files
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
"""Defects, as the authors number them from 1."""


@dataclass(frozen=True)
class Options:
    """What is shown.

    Attributes:
        template: the template is the second image of the question; false shows the tested board alone.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns.
        group: `data.group`: `board` (the folder the pair lies in), `template_group` of a prepared table, or null: the
            pair for itself.
        split: `data.split.column`: `official_split` of a prepared table (its trainval is train).
    """

    template: bool = True
    drawn_on: _boxes.DrawnOn | None = None
    group: str | None = None
    split: str | None = None


_COLUMNS = ("filename", "template", "board", "boxes")


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, "the folder with labels.csv and images/, or with the groupNNNNN folders of the authors")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example a pair; its target is empty: the task makes it from the boxes, which are on the first image.

    Raises:
        DataError: the folder is neither of the two layouts, or lacks a column.
    """
    root = locate(path, options)
    rows = _table(root, options) if (root / "labels.csv").is_file() else _tree(root, options)
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        where, tested, template, board, boxes, more = row
        try:
            header = decode.header(root, ImageRef(tested))
            if options.template and decode.header(root, ImageRef(template)).size != header.size:
                raise DataError(f"its template {template!r} has another size.")
            placed = _boxes.place(boxes, header, _boxes.drawn_on(header, options.drawn_on, None))
        except DataError as error:
            yield BadRow(where, tested, str(error))
            continue
        refs = (ImageRef(tested), ImageRef(template)) if options.template else (ImageRef(tested),)
        group = {None: tested, "board": board}.get(options.group, more.get(str(options.group), ""))
        split = more.get(str(options.split)) if options.split else None
        split = "train" if split == "trainval" else split
        yield Example(f"{tested}#1", refs, "", group, split=split, boxes=placed, meta={"board": board}, row=where)


_Row = tuple[str, str, str, str, list[Box], dict[str, str]]
"""Where it stands, tested image, template, board, boxes, and the columns that the options name."""


def _table(root: Path, options: Options) -> Iterator[_Row | BadRow]:
    """A table with the columns filename, template, board and boxes (JSON [[x1, y1, x2, y2, kind], ...])."""
    named = [name for name in (options.group, options.split) if name and name != "board"]
    for item in _files.table(root, "labels.csv", [*_COLUMNS, *named]):
        if isinstance(item, BadRow):
            yield item
            continue
        where, row = item
        try:
            boxes = _listed(_files.parse_json(row["boxes"]))
        except DataError as error:
            yield BadRow(where, row["filename"], f"boxes: {error}")
            continue
        more = {name: row[name] for name in named}
        tested, template = (_files.join("images", row[name]) for name in ("filename", "template"))
        yield where, tested, template, row["board"], boxes, more


def _listed(value: object) -> list[Box]:
    if not isinstance(value, list) or any(not isinstance(entry, list) or len(entry) != 5 for entry in value):
        raise DataError("expected [[x1, y1, x2, y2, kind], ...].")
    boxes = []
    for entry in value:
        if entry[4] not in KINDS:
            raise DataError(f"the kind {entry[4]!r} is none of {', '.join(KINDS)}.")
        x1, y1, x2, y2 = (_boxes.number(corner, "a corner") for corner in entry[:4])
        boxes.append(Box(x1, y1, x2, y2, entry[4]))
    return boxes


def _tree(root: Path, options: Options) -> Iterator[_Row | BadRow]:
    """`groupB/B/NAME_test.jpg` and `NAME_temp.jpg` with `groupB/B_not/NAME.txt`: lines of x1 y1 x2 y2 number."""
    if options.split or options.group not in (None, "board"):
        raise DataError("the folders of the authors name no such column; only data.group=board is known here.")
    found, bad = _files.images_by_key(root, "")
    yield from bad
    notes = _files.files_by_key(root, "", ".txt")
    used: set[str] = set()
    for key, (tested, *others) in found.items():
        if not key.endswith("_test"):
            continue
        folder, _, name = key.removesuffix("_test").rpartition("/")
        template, note = found.get(f"{folder}/{name}_temp", []), notes.get(f"{folder}_not/{name}")
        used.update([tested, *others, *template, *([note] if note else [])])
        if others or len(template) != 1 or note is None:
            said = f"lacks {folder}/{name}_temp or {folder}_not/{name}.txt, or exists twice."
            yield from (BadRow(path, path, said) for path in (tested, *others))
            continue
        try:
            boxes = [_line(line) for line in _files.read_text(root, note).splitlines() if line.strip()]
        except DataError as error:
            yield BadRow(note, tested, str(error))
            continue
        yield note, tested, template[0], folder.rpartition("/")[2], boxes, {}
    pairs = {key.rpartition("/")[0] for key in found if key.endswith("_test")}
    strays = [path for key, paths in found.items() if key.rpartition("/")[0] in pairs for path in paths]
    strays += [path for path in notes.values() if PurePosixPath(path).parent.name.endswith("_not")]
    yield from (BadRow(path, path, "belongs to no NAME_test image.") for path in strays if path not in used)


def _line(line: str) -> Box:
    fields = line.replace(",", " ").split()
    if len(fields) != 5 or fields[4] not in tuple("123456"):
        raise DataError(f"{line[:80]!r} is not `x1 y1 x2 y2 kind` with a kind from 1 to 6.")
    x1, y1, x2, y2 = (_boxes.text_number(field, "a corner") for field in fields[:4])
    return Box(x1, y1, x2, y2, KINDS[int(fields[4]) - 1])
