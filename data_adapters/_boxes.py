"""Boxes of annotation files: checked against the image, and turned upright with it."""

import math
from collections.abc import Sequence
from typing import Literal

from finetune.errors import ConfigError, DataError
from finetune.example import Box
from finetune.images.decode import Header, upright

DrawnOn = Literal["stored", "upright"]
"""Which pixels annotations mean: those in the file, or those a viewer shows that obeys EXIF."""

_LEAST_SIDE_PX = 4
"""Sides of an image in pixels from which on a box within the first pixel cannot be meant."""
_SLACK_PX = 1.0
"""Rounding in annotation tools; what lies further out is a mistake."""


def drawn_on(header: Header, said: DrawnOn | None, stated: tuple[int, int] | None) -> DrawnOn:
    """Which pixels the boxes of one image mean.

    Args:
        header: of the image.
        said: `data.options.drawn_on`.
        stated: (width, height) in the annotation, or None.

    Raises:
        DataError: the stated size is another image's, or EXIF turns the image and nothing says what was drawn on.
    """
    stored = (header.width, header.height)
    if stated is not None and stated not in (stored, header.size):
        raise DataError(
            f"the annotation is for {stated[0]} x {stated[1]} pixels, the image has {stored[0]} x {stored[1]}."
        )
    if said is not None:
        return said
    if header.orientation == 1:
        return "upright"
    if stated is not None and stored != header.size:
        return "stored" if stated == stored else "upright"
    raise DataError(
        f"EXIF turns the image (orientation {header.orientation}), and nothing says whether its boxes were drawn "
        "before or after: say data.options.drawn_on=stored or data.options.drawn_on=upright."
    )


def place(boxes: Sequence[Box], header: Header, frame: DrawnOn) -> tuple[Box, ...]:
    """Checks boxes and returns them in xyxy pixels of the upright image, cut at its border where they round over it.

    Raises:
        DataError: a box is not finite, has no area or lies outside; names it.
    """
    width, height = (header.width, header.height) if frame == "stored" else header.size
    _check_shares(boxes, min(width, height))
    _check_repeats(boxes)
    placed = []
    for number, box in enumerate(boxes, 1):
        corners = (box.x1, box.y1, box.x2, box.y2)
        shown = f"box {number} ({box.label}) [{', '.join(f'{value:g}' for value in corners)}]"
        if not all(map(math.isfinite, corners)):
            raise DataError(f"{shown} is not made of finite numbers.")
        if box.x2 <= box.x1 or box.y2 <= box.y1:
            raise DataError(f"{shown} has no area; expected x1 < x2 and y1 < y2.")
        if (
            min(box.x1, box.y1) < -_SLACK_PX
            or box.x2 > width + _SLACK_PX
            or box.y2 > height + _SLACK_PX
            or (box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0)
        ):
            raise DataError(f"{shown} lies outside the image of {width} x {height} pixels.")
        cut = (max(box.x1, 0.0), max(box.y1, 0.0), min(box.x2, float(width)), min(box.y2, float(height)))
        turned = upright(cut, header) if frame == "stored" else cut
        placed.append(Box(*turned, box.label, box.image))
    return tuple(placed)


def scaled(boxes: Sequence[Box], header: Header, frame: DrawnOn, shares: bool) -> tuple[Box, ...]:
    """As `place`, of boxes whose corners are shares of the image where `shares` is true.

    Raises:
        DataError: as `place`.
    """
    width, height = (header.width, header.height) if frame == "stored" else header.size
    x, y = (width, height) if shares else (1, 1)
    return place([Box(b.x1 * x, b.y1 * y, b.x2 * x, b.y2 * y, b.label, b.image) for b in boxes], header, frame)


def _check_shares(boxes: Sequence[Box], side: int) -> None:
    """Refuses boxes that all lie in the first pixel of an image: shares that nobody multiplied by its size.

    Raises:
        DataError: shows the first of them.
    """
    corners = [corner for box in boxes for corner in (box.x1, box.y1, box.x2, box.y2)]
    fractions = any(not corner.is_integer() for corner in map(float, corners))
    if side >= _LEAST_SIDE_PX and fractions and min(corners) >= 0 and max(corners) <= 1:
        shown = ", ".join(f"{corner:g}" for corner in corners[:4])
        raise DataError(
            f"every box lies within the first pixel ([{shown}]): these are shares of the image, not pixels. "
            "Multiply them by its width and height."
        )


def _check_repeats(boxes: Sequence[Box]) -> None:
    """Refuses a box that stands twice, which would be counted and asked for twice.

    Raises:
        DataError: names both.
    """
    seen: dict[Box, int] = {}
    for number, box in enumerate(boxes, 1):
        if (first := seen.setdefault(box, number)) != number:
            raise DataError(f"box {number} ({box.label}) is box {first} once more; remove one of them.")


def number(value: object, what: str) -> float:
    """A number of an annotation.

    Raises:
        DataError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{what} is {value!r}, expected a number.")
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"{what} is no number that fits.") from error


def whole(side: float) -> int:
    """A stated side of an image in pixels.

    Raises:
        DataError: it is no whole number.
    """
    if not side.is_integer():
        raise DataError(f"the annotation is for a side of {side:g} pixels, expected a whole number.")
    return int(side)


def text_number(value: str, what: str) -> float:
    """A number written as text.

    Raises:
        DataError: it is none.
    """
    try:
        return float(value)
    except ValueError as error:
        raise DataError(f"{what} is {value!r}, expected a number.") from error


def check_split(split: str | None) -> None:
    """Refuses a `data.split.column` that a format without columns cannot have.

    Raises:
        ConfigError: it is not `path`.
    """
    if split not in (None, "path"):
        raise ConfigError(
            f"data.split.column: got {split!r}; here there are no columns, only `path`: the split is the first word "
            "of the path that is train, val or test"
        )
