"""Gold and predicted boxes, drawn on the thumbnails of the gallery."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from finetune.scoring.box_metrics import optimal
from finetune.scoring.box_text import SCALE, UNREADABLE, Placed, from_json

GOLD, SAID = (0, 158, 115), (213, 94, 0)
"""Bluish green and vermilion, which colour-blind readers tell apart."""
LEGEND = "Boxes: green, double line, is the truth; orange, single line, is what {who} said."


def draw(image: Image.Image, gold: str, answer: str | None) -> Image.Image:
    """A copy of an image with the boxes of the truth and of one answer; canonical texts.

    Args:
        image: what a model saw, at any size.
        gold: the truth.
        answer: what was read in the reply, or None.
    """
    found = image.convert("RGB")
    pen = ImageDraw.Draw(found)
    for box in from_json(gold):
        _rectangle(pen, found.size, box, GOLD, (0, 2))
    for box in from_json(answer) if answer else ():
        if box.box != UNREADABLE:
            _rectangle(pen, found.size, box, SAID, (0,))
    return found


def mistakes(gold: str, answer: str | None) -> int:
    """Boxes missed and boxes invented."""
    wanted, said = from_json(gold), from_json(answer) if answer else []
    return len(wanted) + len(said) - 2 * optimal(wanted, said)


def _rectangle(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: Placed,
    colour: tuple[int, int, int],
    insets: Sequence[int],
) -> None:
    width, height = size
    x1, y1, x2, y2 = box.box
    left, right = round(x1 / SCALE * (width - 1)), round(x2 / SCALE * (width - 1))
    top, bottom = round(y1 / SCALE * (height - 1)), round(y2 / SCALE * (height - 1))
    for inset in insets:
        if right - left >= 2 * inset and bottom - top >= 2 * inset:
            pen.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=colour)
