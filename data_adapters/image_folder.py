"""A folder of images with one sub-folder a class: `PATH/LABEL/.../image.png`."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.images.decode import SUFFIXES

SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder names that mean a split, in lower case."""

WRITES_IMAGES = False
_COMPANIONS = frozenset(
    {
        ".txt",
        ".names",
        ".data",
        ".md",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".db",
        ".ini",
        ".pdf",
        ".cache",
    }
)
"""Files that stand beside images without meaning to be one; any other ending is reported as a bad row."""


@dataclass(frozen=True)
class Options:
    """How the folder is read.

    Attributes:
        group: `data.group`: `parent` (the folder an image lies in), or `regex:PATTERN` searched in the relative path
            (its first group, else the whole match); default: each image for itself.
        frame: frame of animated or multi-page files.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    group: str | None = None
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder that image paths are relative to.

    Raises:
        DataError: it is not given, missing or not a folder.
    """
    if path is None:
        raise DataError("data.path is not given: name the folder that holds one sub-folder a class (data.path=FOLDER).")
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise DataError(f"data.path={path} {problem}; expected a folder that holds one sub-folder a class.")
    return path


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an image, in sorted order; the first folder below `path` is the label.

    Raises:
        DataError: `path` is no folder, or holds one folder a split.
        ConfigError: `data.group` is no rule that this adapter knows.
    """
    root = locate(path, options)
    rule = group_rule(options.group)
    _refuse_splits(root)
    for item in scan(root):
        if isinstance(item, BadRow):
            yield item
            continue
        label, inside, _ = item.partition("/")
        group = group_of(rule, item)
        if not inside:
            yield BadRow(item, item, f"lies in no class folder; expected {root.name}/LABEL/{item}")
        elif group is None:
            yield BadRow(item, item, f"data.group={options.group} does not match its path")
        else:
            yield Example(f"{item}#1", (image(item, options),), label, group, row=item)


def _refuse_splits(root: Path) -> None:
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:  # which is told of as a row
        return
    if len(names) > 1 and all(name.lower() in SPLIT_WORDS for name in names):
        raise DataError(
            f"the folders of {root.name} are {', '.join(names)}: splits, not classes. Point data.path at the one to "
            "train on and data.test_path at the one to test on."
        )


def scan(root: Path) -> Iterator[str | BadRow]:
    """Walks a folder in sorted order: paths of images relative to it (POSIX), and what cannot be read as one."""
    yield from _scan(root, PurePosixPath())


def _scan(folder: Path, relative: PurePosixPath) -> Iterator[str | BadRow]:
    try:
        entries = sorted(os.scandir(folder), key=lambda found: found.name)
    except OSError as error:
        yield BadRow(relative.as_posix(), relative.as_posix(), f"cannot be listed ({error.strerror})")
        return
    for entry in entries:
        name = (relative / entry.name).as_posix()
        if not _is_text(name):
            shown = ascii(name)
            yield BadRow(shown, shown, "has a name that is not UTF-8; rename it")
            continue
        suffix = PurePosixPath(entry.name).suffix.lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _scan(Path(entry.path), relative / entry.name)
        elif os.path.isdir(entry.path):  # unlike `entry.is_dir()` it does not raise on a link to itself
            yield BadRow(name, name, "is a link to a folder; links are not followed, copy the folder")
        elif suffix in SUFFIXES:
            yield name
        elif suffix not in _COMPANIONS:
            yield BadRow(name, name, f"is no image this program reads ({', '.join(sorted(SUFFIXES))})")


def _is_text(name: str) -> bool:
    """False for file names whose bytes are not UTF-8: no record could hold them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def group_rule(rule: str | None) -> re.Pattern[str] | str | None:
    """Reads `data.group` of adapters whose only sign of a group is the path.

    Raises:
        ConfigError: it is neither `parent` nor a regular expression `regex:PATTERN`.
    """
    if rule is None or rule == "parent":
        return rule
    kind, _, pattern = rule.partition(":")
    if kind != "regex" or not pattern:
        raise ConfigError(f"data.group: got {rule!r}, expected 'parent' or 'regex:PATTERN' for this adapter")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"data.group: {pattern!r} is no regular expression ({error})") from error


def group_of(rule: re.Pattern[str] | str | None, relative: str) -> str | None:
    """The group of one image by the rule, or None where the pattern matches nothing of its path."""
    if rule is None:
        return relative
    if isinstance(rule, str):
        return PurePosixPath(relative).parent.as_posix()
    match = rule.search(relative)
    return None if match is None else (match.group(1 if rule.groups else 0) or None)
