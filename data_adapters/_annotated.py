"""What adapters of annotation tools share: one image, its boxes, and the example that they make."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from data_adapters import _boxes, _files
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import DataError
from finetune.example import Box, Example, ImageRef
from finetune.images import decode


class Rules(Protocol):
    """Options that all of them have."""

    @property
    def images(self) -> str:
        """Folder of the images."""

    @property
    def drawn_on(self) -> Literal["stored", "upright"] | None:
        """What boxes mean on images that EXIF turns."""

    @property
    def group(self) -> str | None:
        """`data.group`."""

    @property
    def split(self) -> str | None:
        """`data.split.column`."""

    @property
    def frame(self) -> int | None:
        """Frame of animated or multi-page files."""

    @property
    def window(self) -> tuple[float, ...] | None:
        """Raw values shown as black and white."""


class Maker:
    """Makes the examples of one source.

    Args:
        root: of the source.
        options: of the adapter.

    Raises:
        ConfigError: `data.group` or `data.split.column` is not one that a format without columns has.
    """

    def __init__(self, root: Path, options: Rules) -> None:
        """Reads the rules once."""
        self._root, self._options = root, options
        self._rule: re.Pattern[str] | str | None = group_rule(options.group)
        _boxes.check_split(options.split)
        self._seen: set[str] = set()

    def example(
        self, where: str, relative: str, boxes: Sequence[Box], stated: tuple[int, int] | None, target: str = ""
    ) -> Example:
        """The example of one image.

        Args:
            where: names the row in errors and records.
            relative: path of the image below the root.
            boxes: xyxy pixels as the tool wrote them.
            stated: (width, height) that the tool noted, or None.
            target: an answer about the whole image; empty: the task makes it from the boxes.

        Raises:
            DataError: the image is unsafe, missing or listed twice, its group unknown, or a box is not one of it.
        """
        if relative in self._seen:
            raise DataError("is annotated twice; which annotation is meant?")
        self._seen.add(relative)
        group = group_of(self._rule, relative)
        if group is None:
            raise DataError(f"data.group={self._options.group} does not match its path")
        ref = reference(relative, self._options)
        header = decode.header(self._root, ref)
        placed = _boxes.place(boxes, header, _boxes.drawn_on(header, self._options.drawn_on, stated))
        split = _files.split_of(relative) if self._options.split else None
        return Example(f"{relative}#1", (ref,), target, group, split=split, boxes=placed, row=where)


def reference(relative: str, options: Rules) -> ImageRef:
    """How one image is read."""
    window = (options.window[0], options.window[1]) if options.window else None
    return ImageRef(relative, frame=options.frame, window=window)


def around(points: Sequence[tuple[float, float]], label: str) -> Box:
    """The box around points.

    Raises:
        DataError: there are fewer than two.
    """
    if len(points) < 2:
        raise DataError(f"a shape {label!r} has {len(points)} points; a box needs two.")
    across, down = zip(*points, strict=True)
    return Box(min(across), min(down), max(across), max(down), label)
