"""What a file says of its pixels before they are decoded, and where EXIF puts a box."""

import os
import struct
from dataclasses import dataclass

from PIL import Image

ORIENTATION = 0x0112
"""EXIF tag that says which way up an image is."""


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before they are decoded.

    Attributes:
        width: as stored, before EXIF.
        height: as stored, before EXIF.
        orientation: EXIF orientation, 1 (upright) to 8.
        tile: the rectangle of the upright image that is meant, or None.
    """

    width: int
    height: int
    orientation: int = 1
    tile: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright image, or of its tile."""
        if self.tile is not None:
            return (self.tile[2] - self.tile[0], self.tile[3] - self.tile[1])
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def told_late(image: Image.Image) -> bool:
    """Whether EXIF may stand behind the pixels: Pillow decodes every PNG to find out, this skips along its chunks."""
    file = image.fp  # type: ignore[attr-defined]
    if image.format != "PNG" or file is None:
        return True
    place = file.tell()
    try:
        file.seek(8)
        seen = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            seen |= kind == b"IDAT"
            if seen and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def upright(box: tuple[float, float, float, float], stored: Header) -> tuple[float, float, float, float]:
    """Moves a box, xyxy pixels of the stored image, to where EXIF rotation puts it."""
    x1, y1, x2, y2 = box
    width, height, turn = stored.width, stored.height, stored.orientation
    if turn in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if turn in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    return (y1, x1, y2, x2) if turn >= 5 else (x1, y1, x2, y2)
