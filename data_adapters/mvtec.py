"""MVTec AD and VisA as they are unpacked: good and defective parts by category, with masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from data_adapters import _files, _masks
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = False


@dataclass(frozen=True)
class Options:
    """Which part of the tree is read, and as what.

    Attributes:
        categories: folders of `data.path` to read; empty: all of them.
        layout: `mvtec` (train/good, test/KIND, ground_truth/KIND/NAME_mask.png) or `visa` (Data/Images/Normal and
            Anomaly, Data/Masks/Anomaly).
        label: target: `kind` (the folder: good, scratch, ...), or `defect` (`good` or `defect`).
        boxes: boxes around the regions of the masks; a defective image then needs its mask.
        min_area_px: regions with fewer pixels are left out.
        group: `data.group`: `parent` or `regex:PATTERN` on the image's path; default: each image for itself.
        split: `data.split.column`: `path` takes train and test from the tree, whose train part holds good ones alone.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    categories: tuple[str, ...] = ()
    layout: Literal["mvtec", "visa"] = "mvtec"
    label: Literal["kind", "defect"] = "kind"
    boxes: bool = True
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
    return _files.folder(path, "the folder that holds one sub-folder a category (bottle, cable, ...)")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, category by category, in sorted order; `meta.category` names the category.

    Raises:
        DataError: a category is missing or not laid out as said.
        ConfigError: an option is not one this format has.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    if options.split not in (None, "path") or (options.split and options.layout == "visa"):
        raise ConfigError(
            f"data.split.column: got {options.split!r}; only the layout mvtec has a split, called `path` here"
        )
    for category in options.categories or tuple(_categories(root, _PARTS[options.layout])):
        pairs = _mvtec(root, category) if options.layout == "mvtec" else _visa(root, category)
        for item in pairs:
            if isinstance(item, BadRow):
                yield item
                continue
            relative, kind, masks = item
            group = group_of(rule, relative)
            try:
                if group is None:
                    raise DataError(f"data.group={options.group} does not match its path")
                yield _example(root, relative, kind, masks, group, category, options)
            except DataError as error:
                yield BadRow(relative, relative, str(error))


_VISA_TABLES = "split_csv"
"""Folder beside the categories of VisA as it is published: splits of other people's, no images."""

_PARTS = {"mvtec": ("train", "test", "ground_truth"), "visa": ("Data",)}
"""Layout -> folders of a category."""

_Pair = tuple[str, str, list[str]]
"""Path of an image, its kind, and its masks."""


def _categories(root: Path, parts: tuple[str, ...]) -> Iterator[str]:
    """Names of all folders but hidden ones, sorted.

    Raises:
        DataError: one of them cannot be listed or is laid out in another way; names it.
    """
    for entry in _listed(root):
        name = entry.name
        if not entry.is_dir() or name == _VISA_TABLES:
            continue
        inside = [each.name for each in _listed(entry)]
        if not set(parts) & set(inside):
            raise DataError(
                f"data.path={root} has the folder {name!r}, which is no category: it holds "
                f"{', '.join(map(repr, inside[:5])) or 'nothing'}, expected {', '.join(parts)}. Take it out, or name "
                "the categories in data.options.categories."
            )
        yield name


def _listed(folder: Path) -> list[Path]:
    """What a folder holds, hidden entries aside, sorted."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        _files.unlisted(error)


def _beside(root: Path, folder: str, *parts: str) -> Iterator[BadRow]:
    """Folders and images that lie beside the parts of a tree and would be left out without a word."""
    for entry in _listed(root / folder):
        if entry.name not in parts and (entry.is_dir() or entry.suffix.lower() in decode.SUFFIXES):
            where = f"{folder}/{entry.name}"
            yield BadRow(where, where, f"stands beside {', '.join(parts)}, and is no part of this layout; take it out")


def _example(
    root: Path, relative: str, kind: str, masks: list[str], group: str, category: str, options: Options
) -> Example:
    boxes = None
    if options.boxes:
        if kind != "good" and len(masks) != 1:
            said = f"has the masks {', '.join(masks)}; expected one" if masks else "is defective and has no mask"
            raise DataError(f"{said}. Add it, or leave boxes out with data.options.boxes=false.")
        if kind == "good" and masks:
            raise DataError(f"is good and has a mask, {masks[0]!r}.")
        ref = image(relative, options)
        boxes = _masks.boxes(root, masks[0], ref, kind, options.min_area_px, several=True) if masks else ()
        if kind != "good" and not boxes:
            raise DataError(f"is defective, but no region of its mask has {options.min_area_px} pixels.")
    target = kind if options.label == "kind" or kind == "good" else "defect"
    parts = PurePosixPath(relative).parts
    return Example(
        f"{relative}#1",
        (image(relative, options),),
        target,
        group,
        split=parts[1] if options.split else None,
        boxes=boxes,
        meta={"category": category},
        row=relative,
    )


def _mvtec(root: Path, category: str) -> Iterator[_Pair | BadRow]:
    """`CATEGORY/{train,test}/KIND/NAME.png` with `CATEGORY/ground_truth/KIND/NAME_mask.png`."""
    masks: dict[str, list[str]] = {}
    if (root / category / "ground_truth").is_dir():
        masks, bad = _files.images_by_key(root, f"{category}/ground_truth")
        yield from bad
    used: set[str] = set()
    for part in ("train", "test"):
        found, bad = _files.images_by_key(root, f"{category}/{part}")
        yield from bad
        for key, paths in found.items():
            kind, inside, _ = key.partition("/")
            if len(paths) > 1:
                yield from _files.lone(key, paths)
            elif not inside:
                yield BadRow(paths[0], paths[0], f"lies in no folder of a kind; expected {category}/{part}/KIND/...")
            else:
                wanted = f"{key}_mask"
                mine = masks.get(wanted, []) if part == "test" else []
                used.update([wanted] if mine else [])
                yield paths[0], kind, mine
    strays = (path for key in sorted(masks.keys() - used) for path in masks[key])
    yield from (BadRow(path, path, "has no image of its name.") for path in strays)
    yield from _beside(root, category, *_PARTS["mvtec"])


def _visa(root: Path, category: str) -> Iterator[_Pair | BadRow]:
    """`CATEGORY/Data/Images/{Normal,Anomaly}/NAME.JPG` with `CATEGORY/Data/Masks/Anomaly/NAME.png`."""
    masks, bad = _files.images_by_key(root, f"{category}/Data/Masks/Anomaly")
    yield from bad
    for folder, kind in (("Normal", "good"), ("Anomaly", "anomaly")):
        found, bad = _files.images_by_key(root, f"{category}/Data/Images/{folder}")
        yield from bad
        for key, paths in found.items():
            if len(paths) > 1:
                yield from _files.lone(key, paths)
            else:
                yield paths[0], kind, masks.pop(key, []) if kind == "anomaly" else []
    yield from (BadRow(path, path, "has no image of its name.") for paths in masks.values() for path in paths)
    yield from _beside(root, category, *_PARTS["visa"])
    yield from _beside(root, f"{category}/Data", "Images", "Masks")
    yield from _beside(root, f"{category}/Data/Images", "Normal", "Anomaly")
