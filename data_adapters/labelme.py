"""LabelMe: a JSON file an image, with `shapes`; rectangles, polygons and circles become the box around them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from data_adapters import _annotated, _boxes, _files
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef

WRITES_IMAGES = False
_CORNERS = ("rectangle", "polygon")


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        images: folder of the images; an image and its JSON file share the path without ending below their folders.
        annotations: folder of the JSON files.
        missing: what an image without a JSON file is: a mistake (`refuse`) or free of objects (`background`).
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns, where their size does not tell.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    images: str = ""
    annotations: str = ""
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
    return _files.folder(path, "the folder with the images and LabelMe's JSON files")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return _annotated.reference(relative, options)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in sorted order; its target is empty: the task makes it from the boxes.

    Raises:
        DataError: a folder is missing.
        ConfigError: `data.group` or `data.split.column` is not one this format has.
    """
    root = locate(path, options)
    make = _annotated.Maker(root, options)
    found, bad = _files.images_by_key(root, options.images)
    yield from bad
    files = _files.files_by_key(root, options.annotations, ".json")
    for key, paths in found.items():
        if len(paths) > 1:
            yield from _files.lone(key, paths)
            continue
        (relative,) = paths
        file = files.get(key)
        try:
            if file is None and options.missing == "refuse":
                raise DataError(
                    "has no JSON file of its name; if such images show nothing: data.options.missing=background."
                )
            boxes, stated = ([], None) if file is None else _shapes(_files.load_json(root, file), relative)
            yield make.example(file or relative, relative, boxes, stated)
        except DataError as error:
            yield BadRow(file or relative, relative, str(error))
    for key in sorted(files.keys() - found.keys()):
        yield BadRow(files[key], files[key], "has no image of its name.")


def _shapes(tree: Any, relative: str) -> tuple[list[Box], tuple[int, int] | None]:
    """The boxes of one file, and the size that it states."""
    if not isinstance(tree, dict) or not isinstance(tree.get("shapes"), list):
        raise DataError("is not a file of LabelMe: expected an object with a list `shapes`.")
    if (named := tree.get("imagePath")) and PurePosixPath(str(named).replace("\\", "/")).name != _name(relative):
        raise DataError(f"is about the image {str(named)[:80]!r}, not the one of its name.")
    boxes = [_shape(entry, number) for number, entry in enumerate(tree["shapes"], 1)]
    width, height = tree.get("imageWidth"), tree.get("imageHeight")
    if width is None or height is None:
        return boxes, None
    return boxes, (_boxes.whole(_boxes.number(width, "imageWidth")), _boxes.whole(_boxes.number(height, "imageHeight")))


def _name(relative: str) -> str:
    return PurePosixPath(relative).name


def _shape(entry: Mapping[str, Any], number: int) -> Box:
    label, kind = (entry.get("label"), entry.get("shape_type") or "polygon") if isinstance(entry, dict) else (None, "")
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"shape {number} has the label {label!r}, expected text.")
    listed = entry.get("points")
    if not isinstance(listed, list) or not all(isinstance(point, list) and len(point) == 2 for point in listed):
        raise DataError(f"shape {number} has no list of points [x, y].")
    points = [(_boxes.number(x, f"a point of shape {number}"), _boxes.number(y, "a point")) for x, y in listed]
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return Box(x - radius, y - radius, x + radius, y + radius, label)
    if kind not in _CORNERS:
        raise DataError(f"shape {number} is a {kind}, which has no box; expected rectangle, polygon or circle.")
    return _annotated.around(points, label)
