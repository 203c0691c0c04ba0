"""Pascal VOC: one XML file an image, with `object`, `name` and `bndbox`."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_adapters import _boxes, _files
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        images: folder of the images.
        annotations: folder of the XML files; an image and its file share the name without ending.
        first_pixel: number of the first pixel: 1 as in VOC (`xmin` to `xmax`, both inside), or 0 as many tools write.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns, where their size does not tell.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path, `sets` from the lists
            `ImageSets/Main/{train,val,test}.txt`; what is in none of them is set aside.
        difficult: `keep` objects marked as difficult, or `leave_out`: counted in the column `difficult_left_out`.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    images: str = "JPEGImages"
    annotations: str = "Annotations"
    first_pixel: int = 1
    drawn_on: Literal["stored", "upright"] | None = None
    group: str | None = None
    split: str | None = None
    difficult: Literal["keep", "leave_out"] = "keep"
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {options.images}/ and {options.annotations}/")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in sorted order; its target is empty: the task makes it from the boxes.

    Raises:
        DataError: a folder is missing.
        ConfigError: an option is not one this format has.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    sets = _sets(root) if options.split == "sets" else {}
    if options.split != "sets":
        _boxes.check_split(options.split)
    if options.first_pixel not in (0, 1):
        raise ConfigError(f"data.options.first_pixel: got {options.first_pixel}, expected 0 or 1")
    found, bad = _files.images_by_key(root, options.images)
    yield from bad
    files = _files.files_by_key(root, options.annotations, ".xml")
    for key, paths in found.items():
        if len(paths) > 1:
            yield from _files.lone(key, paths)
            continue
        (relative,) = paths
        file = files.get(key)
        if file is None:
            yield BadRow(relative, relative, f"has no annotation {options.annotations}/{key}.xml.")
            continue
        group = group_of(rule, relative)
        if group is None:
            yield BadRow(file, relative, f"data.group={options.group} does not match its path")
            continue
        try:
            boxes, left_out = _boxes_of(root, relative, file, options)
        except DataError as error:
            yield BadRow(file, relative, str(error))
            continue
        if options.split == "sets" and key not in sets:
            yield BadRow(file, relative, f"is in none of {SETS}/{{train,val,test}}.txt")
            continue
        split = sets.get(key) or (_files.split_of(relative) if options.split == "path" else None)
        meta = {"difficult_left_out": str(left_out)} if left_out else {}
        refs = (image(relative, options),)
        yield Example(f"{relative}#1", refs, "", group, split=split, boxes=boxes, meta=meta, row=file)
    for key in sorted(files.keys() - found.keys()):
        yield BadRow(files[key], files[key], "has no image of its name.")


def _rotation(entry: ElementTree.Element) -> str:
    """What CVAT notes of a turned box: degrees as text, or nothing."""
    for attribute in entry.findall("attributes/attribute"):
        if (attribute.findtext("name") or "").strip() == "rotation":
            return (attribute.findtext("value") or "").strip()
    return ""


SETS = "ImageSets/Main"


def _sets(root: Path) -> dict[str, str]:
    """Name of each image -> the published list that it is in.

    Raises:
        DataError: there are no lists, or an image is in two of them.
    """
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        file = f"{SETS}/{split}.txt"
        if not (root / file).is_file():
            continue
        for line in _files.read_text(root, file).splitlines():
            name = line.split()[0] if line.strip() else ""
            if name and found.setdefault(name, split) != split:
                raise DataError(f"{file}: {name!r} is in {found[name]}.txt too; lists must not share an image.")
    if not found:
        raise DataError(f"data.split.column=sets: {SETS} holds no train.txt, val.txt or test.txt with names.")
    return found


def _boxes_of(root: Path, relative: str, file: str, options: Options) -> tuple[tuple[Box, ...], int]:
    """The boxes of one image, and how many difficult ones were left out."""
    tree = _parse(_files.read_text(root, file))
    _check_nesting(tree)
    boxes, left_out = [], 0
    for number, entry in enumerate(tree.findall("object"), 1):
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise DataError(f"object {number} has no name.")
        if options.difficult == "leave_out" and (entry.findtext("difficult") or "").strip() == "1":
            left_out += 1
            continue
        if (turned := _rotation(entry)) not in ("", "0", "0.0"):
            raise DataError(
                f"object {number} has the attribute rotation {turned!r}: its box is turned, and bndbox holds it as it "
                "was before. Export upright boxes."
            )
        corners = [
            _boxes.text_number((entry.findtext(f"bndbox/{edge}") or "").strip(), f"{edge} of object {number}")
            for edge in ("xmin", "ymin", "xmax", "ymax")
        ]
        first = float(options.first_pixel)
        if first and 0 in corners:
            raise DataError(
                f"object {number} has an edge at 0, where no pixel is with data.options.first_pixel=1; if the tool "
                "that wrote it counts from 0, say data.options.first_pixel=0."
            )
        boxes.append(Box(corners[0] - first, corners[1] - first, corners[2], corners[3], name))
    header = decode.header(root, image(relative, options))
    return _boxes.place(boxes, header, _boxes.drawn_on(header, options.drawn_on, _stated(tree))), left_out


def _check_nesting(tree: ElementTree.Element) -> None:
    """Refuses objects and boxes that stand where none are read, and would be left out without a word.

    Raises:
        DataError: names the first of them.
    """
    read = {*tree.findall("object"), *tree.findall("object/bndbox"), *tree.findall("object/part/bndbox")}
    parents = {child: parent for parent in tree.iter() for child in parent}
    for entry in tree.iter():
        if entry not in read and entry.tag.lower() in ("object", "bndbox", "robndbox"):
            place = parents[entry].tag
            raise DataError(f"has <{entry.tag}> in <{place}>; expected <object> in <annotation> with <bndbox>.")
    for number, entry in enumerate(tree.findall("object"), 1):
        if len(entry.findall("bndbox")) > 1:
            raise DataError(f"object {number} has several boxes.")


def _stated(tree: ElementTree.Element) -> tuple[int, int] | None:
    """The size that the annotation names; nothing and zeros, as some tools write them, name none."""
    texts = [(tree.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    width, height = (_boxes.whole(_boxes.text_number(text or "0", "the size")) for text in texts)
    return (width, height) if width > 0 and height > 0 else None


def _parse(text: str) -> ElementTree.Element:
    """An annotation; document types are refused, since their entities can grow without bound."""
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise DataError("declares a document type or an entity, which no annotation needs; remove it.")
    try:
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"is not XML: {error}.") from error
    if tree.tag != "annotation":
        raise DataError(f"is no VOC annotation: its root is <{tree.tag}>, expected <annotation>.")
    return tree
