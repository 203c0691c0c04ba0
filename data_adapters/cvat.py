"""CVAT for images: one XML file with `image`, `box` and `polygon`; boxes leave it in xyxy pixels."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_adapters import _annotated, _boxes, _files
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        annotations: the XML file, relative to `data.path`.
        images: folder that the names of images are relative to.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns, where their size does not tell.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    annotations: str = "annotations.xml"
    images: str = "images"
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
    return _files.folder(path, f"the folder with {options.annotations} and {options.images}/")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return _annotated.reference(relative, options)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in file order; its target is empty: the task makes it from the boxes.

    Raises:
        DataError: the file is missing, or is not one of CVAT for images.
        ConfigError: `data.group` or `data.split.column` is not one this format has.
    """
    root = locate(path, options)
    make = _annotated.Maker(root, options)
    tree = _parse(_files.read_text(root, options.annotations, max_bytes=None), options.annotations)
    for number, entry in enumerate(tree.findall("image"), 1):
        where, relative = f"{options.annotations} image {number}", ""
        try:
            relative = _files.join(options.images, _attribute(entry, "name"))
            boxes = [_box(child, at) for at, child in enumerate(entry, 1)]
            yield make.example(where, relative, boxes, _size(entry))
        except DataError as error:
            yield BadRow(where, relative, str(error))


def _parse(text: str, file: str) -> ElementTree.Element:
    """The tree; document types are refused, since their entities can grow without bound."""
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise DataError(f"{file} declares a document type or an entity, which no annotation needs; remove it.")
    try:
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{file} is not XML: {error}.") from error
    if tree.tag != "annotations":
        raise DataError(f"{file} is not a file of CVAT: its root is <{tree.tag}>, expected <annotations>.")
    if tree.find("track") is not None:
        raise DataError(f"{file} holds <track>, which is about videos; export it as CVAT for images.")
    return tree


def _attribute(entry: ElementTree.Element, name: str) -> str:
    value = entry.get(name, "")
    if not value.strip():
        raise DataError(f"<{entry.tag}> has no {name}.")
    return value


def _number(entry: ElementTree.Element, name: str) -> float:
    return _boxes.text_number(_attribute(entry, name), f"{name} of <{entry.tag}>")


def _size(entry: ElementTree.Element) -> tuple[int, int] | None:
    if entry.get("width") is None or entry.get("height") is None:
        return None
    return _boxes.whole(_number(entry, "width")), _boxes.whole(_number(entry, "height"))


def _box(entry: ElementTree.Element, number: int) -> Box:
    if entry.tag not in ("box", "polygon"):
        raise DataError(f"annotation {number} is a <{entry.tag}>, which has no box; expected <box> or <polygon>.")
    label = _attribute(entry, "label")
    if entry.get("rotation", "0").strip() not in ("", "0", "0.0", "0.00"):
        raise DataError(
            f"annotation {number} ({label}) has rotation {entry.get('rotation')}: its box is turned. Export polygons."
        )
    if entry.tag == "box":
        x1, y1, x2, y2 = (_number(entry, edge) for edge in ("xtl", "ytl", "xbr", "ybr"))
        return Box(x1, y1, x2, y2, label)
    points = [pair.split(",") for pair in _attribute(entry, "points").split(";")]
    if not all(len(pair) == 2 for pair in points):
        raise DataError(f"annotation {number} ({label}) has points that are not x,y;x,y.")
    return _annotated.around(
        [(_boxes.text_number(x, "a point"), _boxes.text_number(y, "a point")) for x, y in points], label
    )
