"""Boxes as canonical text: one space, xyxy 0-1000 of the upright image, not rounded to it.

The canonical text is a JSON list in reading order: `[{"label": "cut", "box": [12, 40, 300, 500]}]`, `[]` for none. Gold
answers, parsed replies and scores are in it; `box_notations` writes and reads what models are asked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.errors import DataError
from finetune.example import Box

SCALE = 1000
"""Canonical coordinates run from 0 to this, left to right and top to bottom."""

UNREADABLE = (0.0, 0.0, 0.0, 0.0)
"""A box that a reply holds and that cannot be read: it is a false alarm, and costs nothing else."""


@dataclass(frozen=True)
class Placed:
    """A labelled box, xyxy 0-1000; `score` where the model gave one."""

    label: str
    box: tuple[float, float, float, float]
    score: float | None = None


def in_thousandths(boxes: Sequence[Box], size: tuple[int, int]) -> list[Placed]:
    """Boxes in pixels as canonical ones, not rounded: in a large image a thousandth is wider than a defect.

    Args:
        boxes: xyxy pixels of one upright image.
        size: its (height, width).
    """
    height, width = size
    return [
        Placed(b.label, (b.x1 * SCALE / width, b.y1 * SCALE / height, b.x2 * SCALE / width, b.y2 * SCALE / height))
        for b in boxes
    ]


def to_json(boxes: Sequence[Placed]) -> str:
    """The canonical text, in reading order (top, left, label)."""
    ordered = sorted(boxes, key=lambda b: (b.box[1], b.box[0], b.label, b.box[2:]))
    rows = [
        {"label": b.label, "box": [_short(value) for value in b.box]} | ({} if b.score is None else {"score": b.score})
        for b in ordered
    ]
    return json.dumps(rows, ensure_ascii=False)


def _short(value: float) -> float:
    shown = round(value, 2)
    return int(shown) if shown == int(shown) else shown


def from_json(text: str) -> list[Placed]:
    """Reads the canonical text.

    Raises:
        DataError: it is none; says what was expected.
    """
    try:
        return [_placed(row) for row in json.loads(text)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f'boxes {text[:80]!r} cannot be read ({error}); expected [{{"label": "x", "box": [x1, y1, x2, y2]}}], '
            f"0-{SCALE}, x1 < x2 and y1 < y2"
        ) from error


def _placed(row: Mapping[str, Any]) -> Placed:
    """One object of the canonical list.

    Raises:
        ValueError: not four numbers in 0-1000 with an area, nor `UNREADABLE`.
    """
    if not isinstance(row["label"], str):
        raise ValueError("a label is not text")
    x1, y1, x2, y2 = (_number(value) for value in row["box"])
    if not (0 <= x1 < x2 <= SCALE and 0 <= y1 < y2 <= SCALE) and (x1, y1, x2, y2) != UNREADABLE:
        raise ValueError(f"{[x1, y1, x2, y2]} is not a box in 0-{SCALE}")
    score = row.get("score")
    return Placed(row["label"], (x1, y1, x2, y2), None if score is None else _number(score))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
