"""Images with masks: a folder of images, and one of masks in which the value of a pixel says what is there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_adapters import _boxes, _files, _masks
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """How the set is laid out.

    Attributes:
        images: folder of the images.
        masks: folder of the masks; an image and its mask share the name without ending.
        suffix: what stands behind that name in a mask's (`_mask` for 007.png and 007_mask.png).
        values: mask value (quoted) -> what it shows; empty: the one value above 0 is `defect`.
        threshold: mask value from which on a pixel is `defect`, for soft edges and masks saved as JPEG.
        defect: label of all regions where `values` is empty.
        clean: label of an image whose mask is empty.
        unmasked: what an image without a mask is: a mistake (false) or clean (true).
        min_area_px: regions with fewer pixels are left out, for specks at the edge of a region.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train, val or test from the image's path.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    images: str = "images"
    masks: str = "masks"
    suffix: str = ""
    values: dict[str, str] = field(default_factory=dict)
    threshold: int | None = None
    defect: str = "defect"
    clean: str = "good"
    unmasked: bool = False
    min_area_px: int = 1
    group: str | None = None
    split: str | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {options.images}/ and {options.masks}/")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in sorted order: boxes around the regions, and what they show as its target.

    Several kinds in one image make the target `a, b`, sorted.

    Raises:
        DataError: a folder is missing.
        ConfigError: an option is not one this format has.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    _boxes.check_split(options.split)
    names = _values(options)
    found, bad = _files.images_by_key(root, options.images)
    masked, unreadable = _files.images_by_key(root, options.masks)
    yield from [*bad, *unreadable]
    used: set[str] = set()
    for key, paths in found.items():
        wanted = key + options.suffix
        used.add(wanted)
        beside = [mask for mask in masked.get(wanted, []) if mask not in paths]
        if len(paths) > 1 or len(beside) > 1:
            yield from _files.lone(key, paths if len(paths) > 1 else [*paths, *beside])
            continue
        (relative,) = paths
        group = group_of(rule, relative)
        if group is None:
            yield BadRow(relative, relative, f"data.group={options.group} does not match its path")
            continue
        if not beside and not options.unmasked:
            expected = _files.join(options.masks, wanted)
            yield BadRow(
                relative, relative, f"has no mask {expected}.*; if none means clean: data.options.unmasked=true"
            )
            continue
        ref = image(relative, options)
        try:
            boxes = _boxes_of(root, beside[0], ref, names, options) if beside else ()
        except DataError as error:
            yield BadRow(relative, relative, str(error))
            continue
        target = ", ".join(sorted({box.label for box in boxes})) or options.clean
        split = _files.split_of(relative) if options.split else None
        yield Example(f"{relative}#1", (ref,), target, group, split=split, boxes=boxes, row=relative)
    for key in sorted(masked.keys() - used):
        yield from (BadRow(mask, mask, "has no image of its name.") for mask in masked[key])


def _boxes_of(root: Path, mask: str, ref: ImageRef, names: dict[int, str] | str, options: Options) -> tuple[Box, ...]:
    return _masks.boxes(root, mask, ref, names, options.min_area_px, threshold=options.threshold)


def _values(options: Options) -> dict[int, str] | str:
    wrong = [value for value in options.values if not value.isascii() or not value.isdigit() or int(value) == 0]
    if wrong:
        raise ConfigError(f"data.options.values: the key {wrong[0]!r} is no mask value; expected whole numbers above 0")
    if options.threshold is not None and (options.values or options.threshold < 1):
        raise ConfigError(
            f"data.options.threshold: got {options.threshold}; expected a value of 1 or more, and no "
            "data.options.values beside it"
        )
    return {int(value): label for value, label in options.values.items()} or options.defect
