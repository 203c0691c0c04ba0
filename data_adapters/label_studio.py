"""Label Studio's JSON: a task an image, with rectangles (`rectanglelabels`) or one choice (`choices`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from data_adapters import _annotated, _boxes, _files
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        annotations: the exported JSON file, relative to `data.path`.
        images: folder of the images: uploaded ones (/data/upload/1/NAME) lie there under their NAME, those of local
            storage (/data/local-files/?d=PATH) under their PATH.
        image: key of `data` that holds the image.
        drawn_on: `stored` or `upright`: what boxes mean on images that EXIF turns, where their size does not tell.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    annotations: str = "annotations.json"
    images: str = "images"
    image: str = "image"
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
    """Yields an example a task, in file order; a choice is its target, rectangles leave that to the task.

    Raises:
        DataError: the file is missing, or is not a list of tasks.
        ConfigError: `data.group` or `data.split.column` is not one this format has.
    """
    root = locate(path, options)
    make = _annotated.Maker(root, options)
    tasks = _files.load_json(root, options.annotations)
    if not isinstance(tasks, list):
        raise DataError(f"{options.annotations} is not a list of tasks: export it as JSON, not JSON-MIN or COCO.")
    for number, entry in enumerate(tasks, 1):
        where, relative = f"{options.annotations} task {number}", ""
        try:
            if not isinstance(entry, dict) or not isinstance(entry.get("data"), dict):
                raise DataError("is not a task: expected an object with `data` and `annotations`.")
            relative = _files.join(options.images, _path(entry["data"].get(options.image), options))
            boxes, target, stated = _results(_annotation(entry))
            yield make.example(where, relative, boxes, stated, target)
        except DataError as error:
            yield BadRow(where, relative, str(error))


def _path(value: Any, options: Options) -> str:
    """What Label Studio's own address of an image stands for below `images`; other addresses stay, to be refused."""
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"its data.{options.image} is {str(value)[:40]!r}, expected the path of an image.")
    parts = urlsplit(value)
    if parts.path.rstrip("/").endswith("/data/local-files") and not parts.netloc:
        return parse_qs(parts.query).get("d", [""])[0]
    if parts.path.startswith("/data/upload/") and not parts.netloc:
        return PurePosixPath(unquote(parts.path)).name
    return value


def _annotation(task: Mapping[str, Any]) -> list[Any]:
    """The results of the one annotation that was not cancelled."""
    given = task.get("annotations")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise DataError("has no list `annotations`.")
    valid = [each for each in given if not each.get("was_cancelled")]
    if len(valid) != 1:
        raise DataError(f"has {len(valid)} annotations; expected one: decide which is right before the export.")
    results = valid[0].get("result")
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise DataError("its annotation has no list `result`.")
    return results


def _results(results: list[Any]) -> tuple[list[Box], str, tuple[int, int] | None]:
    """Boxes in pixels, the choice, and the size of the image as it was shown."""
    boxes, choices, sizes = [], [], set()
    for number, entry in enumerate(results, 1):
        kind, value = entry.get("type"), entry.get("value")
        if not isinstance(value, dict) or kind not in ("rectanglelabels", "choices"):
            raise DataError(f"result {number} is {kind!r}, which is not read; expected rectanglelabels or choices.")
        names = value.get(kind)
        if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
            raise DataError(f"result {number} has the {kind} {str(names)[:60]}, expected one text.")
        if kind == "choices":
            choices.append(names[0])
            continue
        sizes.add(_size(entry, number))
        boxes.append(_box(value, names[0], _size(entry, number), number))
    if len(choices) > 1 or len(sizes) > 1:
        raise DataError("has several choices or image sizes; one answer an image is read.")
    return boxes, choices[0] if choices else "", next(iter(sizes), None)


def _size(entry: Mapping[str, Any], number: int) -> tuple[int, int]:
    sides = [
        _boxes.whole(_boxes.number(entry.get(side), f"{side} of result {number}"))
        for side in ("original_width", "original_height")
    ]
    return sides[0], sides[1]


def _box(value: Mapping[str, Any], label: str, size: tuple[int, int], number: int) -> Box:
    if _boxes.number(value.get("rotation", 0), f"rotation of result {number}"):
        raise DataError(f"result {number} ({label}) has rotation {value['rotation']}: turned boxes are not read.")
    x, y, width, height = (
        _boxes.number(value.get(key), f"{key} of result {number}") / 100 for key in ("x", "y", "width", "height")
    )
    return Box(x * size[0], y * size[1], (x + width) * size[0], (y + height) * size[1], label)
