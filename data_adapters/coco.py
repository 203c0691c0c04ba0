"""COCO: one JSON file of images, annotations with `bbox`, and categories; boxes leave it in xyxy pixels."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from data_adapters import _boxes, _files
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False
_ROBOFLOW = "_annotations.coco.json"


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        annotations: the JSON files, relative to `data.path`; where annotations.json is not there, those of a folder a
            split: train/_annotations.coco.json (Roboflow), annotations/instances_train2017.json (COCO).
        images: folder that `file_name` is relative to; in those layouts the folder of the split.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns, where their size does not tell.
        crowd: what an annotation with `iscrowd` does, which is no box of one object: refuse the image, or drop it.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the name of the annotation file.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    annotations: tuple[str, ...] = ("annotations.json",)
    images: str = "images"
    drawn_on: Literal["stored", "upright"] | None = None
    crowd: Literal["refuse", "drop"] = "refuse"
    group: str | None = None
    split: str | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {', '.join(options.annotations)} and {options.images}/")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in file order; its target is empty: the task makes it from the boxes.

    Raises:
        DataError: a file is missing, or is no COCO file of boxes.
        ConfigError: `data.group` or `data.split.column` is not one this format has.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    _boxes.check_split(options.split)
    seen: set[str] = set()
    layout = _layout(root, options)
    for name, folder in layout:
        whole = _Whole(name, _files.load_json(root, name))
        for number, entry in enumerate(whole.images, 1):
            where = f"{name} image {number}"
            relative = ""
            try:
                relative = _files.join(folder, _text(entry, "file_name"), root)
                if relative in seen:
                    raise DataError("is listed twice.")
                seen.add(relative)
                group = group_of(rule, relative)
                if group is None:
                    raise DataError(f"data.group={options.group} does not match its path")
                split = _files.split_of(_spaced(name)) if options.split else None
                boxes, dropped = _boxes_of(root, relative, entry, whole, options)
            except DataError as error:
                yield BadRow(where, relative, str(error))
                continue
            meta = {"crowd_dropped": str(dropped)} if dropped else {}
            ref = image(relative, options)
            yield Example(f"{relative}#1", (ref,), "", group, split=split, boxes=boxes, meta=meta, row=where)
        yield from whole.orphans()


def _layout(root: Path, options: Options) -> list[tuple[str, str]]:
    """Annotation files, each with the folder of its images.

    Raises:
        DataError: a file of COCO's own layout has no folder of its split.
    """
    if options.annotations != Options.annotations or (root / options.annotations[0]).exists():
        return [(name, options.images) for name in options.annotations]
    exported = sorted(place.relative_to(root).as_posix() for place in root.glob(f"*/{_ROBOFLOW}"))
    if exported:
        return [(name, PurePosixPath(name).parent.as_posix()) for name in exported]
    found = sorted(place.relative_to(root).as_posix() for place in root.glob("annotations/instances_*.json"))
    if not found:
        return [(name, options.images) for name in options.annotations]
    pairs = [(name, PurePosixPath(name).stem.removeprefix("instances_")) for name in found]
    folders = [next((each for each in (part, f"images/{part}") if (root / each).is_dir()), "") for _, part in pairs]
    if "" in folders:
        name, part = pairs[folders.index("")]
        raise DataError(f"{name} has no folder {part}/ or images/{part}/ with its images; say data.options.images.")
    return [(name, folder) for (name, _), folder in zip(pairs, folders, strict=True)]


def _spaced(name: str) -> str:
    """The path with a year split off, as in `train2017`."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name)


class _Whole:
    """One COCO file, indexed.

    Args:
        name: of the file, for errors.
        tree: its content.
    """

    def __init__(self, name: str, tree: Any) -> None:
        parts = [tree.get(part) if isinstance(tree, dict) else None for part in ("images", "annotations", "categories")]
        if not all(isinstance(part, list) and all(isinstance(entry, dict) for entry in part) for part in parts):
            raise DataError(f"{name} is no COCO file: expected lists of objects: images, annotations, categories.")
        self.name = name
        self.images, self.annotations, categories = (part or [] for part in parts)
        self.labels: dict[Any, str] = {}
        for entry in categories:
            if not isinstance(entry.get("id"), int) or not isinstance(entry.get("name"), str) or not entry["name"]:
                raise DataError(f"{name} category {entry!r} lacks a whole number `id` or a text `name`.")
            if entry["id"] in self.labels:
                raise DataError(f"{name} has two categories with id {entry['id']}.")
            self.labels[entry["id"]] = entry["name"]
        self.known = [entry.get("id") for entry in self.images]
        if any(not isinstance(key, int) for key in self.known) or len(set(self.known)) < len(self.known):
            raise DataError(f"{name}: every image needs a whole number `id` of its own.")
        self.by_image: dict[Any, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
        for number, entry in enumerate(self.annotations, 1):
            key = entry.get("image_id")
            self.by_image[key if isinstance(key, int) else None].append((number, entry))

    def orphans(self) -> Iterator[BadRow]:
        """Annotations of images that the file does not list."""
        known = set(self.known)
        for number, entry in enumerate(self.annotations, 1):
            key = entry.get("image_id")
            if not isinstance(key, int) or key not in known:
                yield BadRow(f"{self.name} annotation {number}", "", f"its image_id {key!r} is no image of the file.")


def _boxes_of(
    root: Path, relative: str, entry: Mapping[str, Any], whole: _Whole, options: Options
) -> tuple[tuple[Box, ...], int]:
    """The boxes of one image, and how many crowds were dropped."""
    found, dropped = [], 0
    for number, annotation in whole.by_image[entry["id"]]:
        if annotation.get("iscrowd"):
            if options.crowd == "refuse":
                raise DataError(
                    f"annotation {number} is a crowd (iscrowd), no box of one object: set data.options.crowd=drop."
                )
            dropped += 1
            continue
        found.append(_box(annotation, number, whole.labels))
    header = decode.header(root, image(relative, options))
    frame = _boxes.drawn_on(header, options.drawn_on, _stated(entry))
    return _boxes.place(found, header, frame), dropped


def _box(annotation: Mapping[str, Any], number: int, labels: Mapping[Any, str]) -> Box:
    box, category = annotation.get("bbox"), annotation.get("category_id")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"annotation {number} has bbox {box!r}, expected [x, y, width, height].")
    if not isinstance(category, int) or category not in labels:
        raise DataError(f"annotation {number} has category_id {category!r}; there is {', '.join(map(str, labels))}.")
    extra = annotation.get("attributes")
    turned = extra.get("rotation") if isinstance(extra, dict) else None
    if turned not in (None, 0, "", "0", "0.0"):
        raise DataError(
            f"annotation {number} has attributes.rotation {turned!r}: its box is turned, and bbox holds it as it was "
            "before. Export upright boxes or polygons."
        )
    x, y, width, height = (_boxes.number(value, f"a bbox value of annotation {number}") for value in box)
    return Box(x, y, x + width, y + height, labels[category])


def _stated(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    if width is None and height is None:
        return None
    return _boxes.whole(_boxes.number(width, "its width")), _boxes.whole(_boxes.number(height, "its height"))


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise DataError(f"has {name} {value!r}, expected text.")
    return value
