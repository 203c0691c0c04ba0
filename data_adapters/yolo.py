"""YOLO: an image and a text file of `class x y width height` (shares of the image), class names in data.yaml."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import yaml

from data_adapters import _boxes, _files
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False
_OTHER_NAMES = ("data.yml", "dataset.yaml", "obj.names", "classes.txt")
"""Files with class names of other writers: Ultralytics, CVAT's YOLO 1.1, labelImg."""
_MAX_LINE_BYTES = 4096
_LABEL_LINE = re.compile(rb"\d{1,9}(?:\s+-?(?:\d*\.)?\d+(?:[eE][-+]?\d+)?){4,}")
_BESIDE_LABELS = "classes.txt"
"""Class names that some tools write into the folder of the label files."""


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        names: file with the class names: a YAML file with `names`, or a text file with one a line; where
            data.yaml is not there, data.yml, dataset.yaml, obj.names (CVAT's YOLO 1.1) or classes.txt.
        missing: what an image without a label file is: a mistake (`refuse`) or free of objects (`background`).
        drawn_on: `stored` or `upright`: what the shares refer to on images that EXIF turns.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    names: str = "data.yaml"
    missing: Literal["refuse", "background"] = "refuse"
    drawn_on: Literal["stored", "upright"] | None = None
    group: str | None = None
    split: str | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {options.names}, images/ and labels/")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in sorted order; its target is empty: the task makes it from the boxes.

    An empty label file says that the image holds nothing. Polygons and turned boxes become the box around them.

    Raises:
        DataError: the folder or the class names are missing.
        ConfigError: `data.group` or `data.split.column` is not one this format has.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    _boxes.check_split(options.split)
    names_file = _names_file(root, options)
    names = _names(root, names_file)
    found, bad = _files.images_by_key(root, "")
    yield from bad
    labels = _label_files(root, names_file)
    used: set[str] = set()
    for key, paths in found.items():
        wanted = _label_key(key)
        used.add(wanted)
        if len(paths) > 1:
            yield from _files.lone(key, paths)
            continue
        (relative,) = paths
        try:
            yield _example(root, relative, labels.get(wanted), names, rule_of=(rule, options))
        except DataError as error:
            yield BadRow(labels.get(wanted, relative), relative, str(error))
    for key, file in labels.items():
        if key in used or (not _in_labels(file) and not _looks_like_labels(root, file)):
            continue
        if PurePosixPath(file).name != _BESIDE_LABELS:
            yield BadRow(
                file,
                file,
                "has no image of its name."
                if _in_labels(file)
                else "holds boxes and has no image of its name: an image lies beside its label file, or in a "
                "folder images/ where that lies in labels/.",
            )
        elif (own := _names(root, file)) != names:
            raise DataError(
                f"{file} lists the classes {', '.join(own)}, and {names_file} {', '.join(names)}: numbers in label "
                f"files mean one of them. Correct the other, or say data.options.names={file}."
            )


def _label_key(key: str) -> str:
    """The key of an image's label file: the last folder `images` is `labels` there."""
    parts = list(PurePosixPath(key).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == "images":
            parts[index] = "labels"
            break
    return PurePosixPath(*parts).as_posix()


def _label_files(root: Path, names_file: str) -> dict[str, str]:
    """Text files by key, whose last folder `labels` is spelled so whatever its case.

    Raises:
        DataError: two files share a key.
    """
    found: dict[str, str] = {}
    for key, file in _files.files_by_key(root, "", ".txt").items():
        parts = list(PurePosixPath(key).parts)
        for index in range(len(parts) - 2, -1, -1):
            if parts[index].lower() == "labels":
                parts[index] = "labels"
                break
        if file != names_file and (other := found.setdefault(PurePosixPath(*parts).as_posix(), file)) != file:
            raise DataError(f"{other!r} and {file!r} share a key; which one is meant?")
    return found


def _in_labels(file: str) -> bool:
    return any(part.lower() == "labels" for part in PurePosixPath(file).parts)


def _looks_like_labels(root: Path, file: str) -> bool:
    """Whether a text outside of labels/ holds boxes all the same: a class, and shares of an image behind it."""
    with decode.check(root, file, "file", may_be_empty=True).open("rb") as handle:
        first = handle.readline(_MAX_LINE_BYTES)
    return _LABEL_LINE.fullmatch(first.strip()) is not None


def _names_file(root: Path, options: Options) -> str:
    """The file with the class names: as said, or what YOLO's other writers call it."""
    if options.names != Options.names or (root / options.names).exists():
        return options.names
    return next((name for name in _OTHER_NAMES if (root / name).is_file()), options.names)


def _example(
    root: Path, relative: str, file: str | None, names: Sequence[str], rule_of: tuple[object, Options]
) -> Example:
    rule, options = rule_of
    group = group_of(rule, relative)  # type: ignore[arg-type]
    if group is None:
        raise DataError(f"data.group={options.group} does not match its path")
    if file is None and options.missing == "refuse":
        raise DataError(
            "has no label file. Give it one (an empty file says that it shows nothing), or set "
            "data.options.missing=background if images without one show nothing."
        )
    header = decode.header(root, image(relative, options))
    frame = _boxes.drawn_on(header, options.drawn_on, None)
    size = (header.width, header.height) if frame == "stored" else header.size
    lines = [] if file is None else _files.read_text(root, file).splitlines()
    boxes = [_box(line, number, names, size) for number, line in enumerate(lines, 1) if line.strip()]
    placed = _boxes.place(boxes, header, frame)
    split = _files.split_of(relative) if options.split else None
    return Example(
        f"{relative}#1", (image(relative, options),), "", group, split=split, boxes=placed, row=file or relative
    )


def _box(line: str, number: int, names: Sequence[str], size: tuple[int, int]) -> Box:
    fields = line.split()
    if len(fields) < 5 or (len(fields) > 5 and (len(fields) < 7 or len(fields) % 2 == 0)):
        pose = " Key points behind a box (YOLO pose) are not read; export boxes." if len(fields) > 7 else ""
        raise DataError(
            f"line {number} has {len(fields)} fields; expected class, x, y, width, height, or class and "
            f"a polygon.{pose}"
        )
    if not fields[0].isascii() or not fields[0].isdigit() or len(fields[0]) > 9 or int(fields[0]) >= len(names):
        raise DataError(f"line {number} has class {fields[0][:20]!r}; expected 0 to {len(names) - 1}.")
    values = [_boxes.text_number(field, f"a value of line {number}") for field in fields[1:]]
    _check_pose(values, number)
    if any(not -0.01 <= value <= 1.01 for value in values):
        raise DataError(f"line {number} has a value outside 0 to 1; YOLO's are shares of the image, not pixels.")
    width, height = size
    if len(values) == 4:
        x, y, w, h = values
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    else:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    x1, y1, x2, y2 = corners
    return Box(x1 * width, y1 * height, x2 * width, y2 * height, names[int(fields[0])])


def _check_pose(values: Sequence[float], number: int) -> None:
    """Refuses a box with key points behind it, `x y w h (x y visible)...`, which would be read as a polygon.

    Raises:
        DataError: names the line.
    """
    points = values[4:]
    if not points or len(points) % 3 or not all(flag in (0, 1, 2) for flag in points[2::3]):
        return
    x, y, w, h = values[:4]
    shown = [(points[at], points[at + 1]) for at in range(0, len(points), 3) if points[at + 2]]
    slack = 0.01
    if shown and all(abs(px - x) <= w / 2 + slack and abs(py - y) <= h / 2 + slack for px, py in shown):
        raise DataError(
            f"line {number} holds a box with {len(points) // 3} key points behind it (YOLO pose), which would be "
            "read as a polygon; export boxes."
        )


def _names(root: Path, file: str) -> list[str]:
    """Class names by index; a name that YAML took for a boolean or a number is refused."""
    text = _files.read_text(root, file)
    if PurePosixPath(file).suffix.lower() not in (".yaml", ".yml"):
        if not (listed := [line.strip() for line in text.splitlines() if line.strip()]):
            raise DataError(f"{file} names no classes; expected one a line.")
        return listed
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if isinstance(tree, dict) and "kpt_shape" in tree:
        raise DataError(
            f"{file} has kpt_shape: its labels hold key points and would be read as polygons; export boxes."
        )
    names = tree.get("names") if isinstance(tree, dict) else None
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise DataError(
                f"{file}: the keys of `names` are {sorted(map(str, names))}, expected 0 to {len(names) - 1}."
            )
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file} has no list `names` of class names.")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{file}: the class name {name!r} is no text; quote the label, or its spelling is lost.")
    return names
