"""Boxes of a mask: one around each connected region, labelled by its value."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from scipy import ndimage

from finetune.errors import DataError
from finetune.example import Box, ImageRef
from finetune.images import decode

_LOSSY = (".jpg", ".jpeg", ".jfif")
_CONNECTED = np.ones((3, 3), dtype=np.int64)
"""Pixels that touch at a corner belong together."""


def boxes(
    root: Path,
    mask: str,
    ref: ImageRef,
    names: Mapping[int, str] | str,
    min_area_px: int,
    *,
    threshold: int | None = None,
    several: bool = False,
) -> tuple[Box, ...]:
    """Boxes in xyxy pixels of the upright image, in the order of their values, then from top to bottom.

    Args:
        root: of the source.
        mask: path of the mask; 0 is background.
        ref: the image, whose size the mask must have.
        names: value -> label, or the one label of every value above 0.
        min_area_px: smaller regions are left out.
        threshold: values from it on are the region, smaller ones background; only with one label.
        several: several values above 0 are several regions of the one label.

    Raises:
        DataError: the mask is no mask, has another size, a value without a name, or grey levels that are no values.
    """
    values = decode.load_values(root, mask)
    header = decode.header(root, ref)
    if header.orientation != 1:
        raise DataError(f"EXIF turns the image (orientation {header.orientation}), but not its mask; save it upright.")
    if values.shape != (header.height, header.width):
        raise DataError(
            f"mask {mask!r} has {values.shape[1]} x {values.shape[0]} pixels, the image "
            f"{header.width} x {header.height}."
        )
    if threshold is not None:
        values = (values >= threshold).astype(np.int64)
    present = sorted({int(value) for value in np.unique(values)} - {0})
    _check_grey(mask, present, names, several)
    if isinstance(names, str):
        values, present, names = (values != 0).astype(np.int64), [1] if present else [], {1: names}
    unnamed = [value for value in present if value not in names]
    if unnamed:
        raise DataError(
            f"mask {mask!r} holds the value {unnamed[0]}; data.options.values names "
            f"{', '.join(map(str, sorted(names))) or 'none'} (0 is background)."
        )
    return tuple(box for value in present for box in _regions(values == value, names[value], min_area_px))


def _check_grey(mask: str, present: Sequence[int], names: Mapping[int, str] | str, several: bool) -> None:
    """Refuses grey levels where one label was given: soft edges and the noise of JPEG are no defects.

    Raises:
        DataError: there is more than one value above 0, or a lossy file whose values cannot be trusted.
    """
    if len(present) < 2 or not isinstance(names, str):
        return
    lossy = PurePosixPath(mask).suffix.lower() in _LOSSY
    if several and not lossy:
        return
    shown = ", ".join(map(str, present[:5])) + (", ..." if len(present) > 5 else "")
    cause = "JPEG, whose noise is no region" if lossy else "soft edges, or several kinds of region"
    raise DataError(
        f"mask {mask!r} holds the values {shown} above 0 ({cause}). Say from which value on a pixel "
        "counts with data.options.threshold=128, or what each value shows with data.options.values."
    )


def _regions(inside: np.typing.NDArray[np.bool_], label: str, min_area_px: int) -> list[Box]:
    numbered, count = ndimage.label(inside, structure=_CONNECTED)
    areas = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    found = []
    for area, (rows, columns) in zip(areas, ndimage.find_objects(numbered), strict=True):
        if area >= min_area_px:
            found.append(Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop), label))
    return found
