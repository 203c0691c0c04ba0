"""Boxes as text: one canonical space, xyxy 0-1000 of the upright image, and a codec for each way of writing them.

The canonical text is a JSON list in reading order: `[{"label": "cut", "box": [12, 40, 300, 500]}]`, `[]` for none. Gold
answers, parsed replies and scores are in it; `write` and `read` turn it into a family's own form and back.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.errors import DataError
from finetune.example import Box

SCALE = 1000
"""Canonical coordinates run from 0 to this, left to right and top to bottom."""

LOCATIONS = 1024
"""PaliGemma's location tokens, `<loc0000>` to `<loc1023>`."""


@dataclass(frozen=True)
class Placed:
    """A labelled box, xyxy 0-1000; `score` where the model gave one."""

    label: str
    box: tuple[float, float, float, float]
    score: float | None = None


def canonical(boxes: Sequence[Box], size: tuple[int, int]) -> list[Placed]:
    """Boxes in pixels, in canonical space.

    Args:
        boxes: xyxy pixels of one upright image.
        size: its (height, width).
    """
    return [replace(placed, box=_whole(placed.box)) for placed in in_thousandths(boxes, size)]


def in_thousandths(boxes: Sequence[Box], size: tuple[int, int]) -> list[Placed]:
    """The same without rounding: in a large image a thousandth is wider than a defect."""
    height, width = size
    return [
        Placed(b.label, (b.x1 * SCALE / width, b.y1 * SCALE / height, b.x2 * SCALE / width, b.y2 * SCALE / height))
        for b in boxes
    ]


def _whole(corners: Sequence[float]) -> tuple[float, float, float, float]:
    """Rounded, at least one unit wide and high, inside the space: a thin scratch must not vanish."""
    x1, y1, x2, y2 = (min(SCALE, max(0, round(value))) for value in corners)
    x1, y1 = min(x1, SCALE - 1), min(y1, SCALE - 1)
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


def to_json(boxes: Sequence[Placed]) -> str:
    """The canonical text, in reading order (top, left, label)."""
    ordered = sorted(boxes, key=lambda b: (b.box[1], b.box[0], b.label, b.box[2:]))
    rows = [
        {"label": b.label, "box": [_short(value) for value in b.box]} | ({} if b.score is None else {"score": b.score})
        for b in ordered
    ]
    return json.dumps(rows, ensure_ascii=False)


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(value, 2)


def from_json(text: str) -> list[Placed]:
    """Reads the canonical text.

    Raises:
        DataError: it is none; says what was expected.
    """
    try:
        return [_placed(row, ours=True) for row in json.loads(text)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f'boxes {text[:80]!r} cannot be read ({error}); expected [{{"label": "x", "box": [x1, y1, x2, y2]}}], '
            f"0-{SCALE}, x1 < x2 and y1 < y2"
        ) from error


def _placed(row: Mapping[str, Any], ours: bool = False) -> Placed:
    """One object of a list, under any of the keys that models use; Gemini's `box_2d` has y first.

    In a reply, numbers that are all below 1 are shares of the image; in `ours` they are a corner of a large one.

    Raises:
        ValueError: not four numbers in 0-1000 with an area.
    """
    name = next(key for key in (*_KEYS, "box_2d", "") if key in row or not key)
    if not name or not isinstance(row["label"], str):
        raise ValueError("no box or no label")
    values = [_number(value) for value in row[name]]
    x1, y1, x2, y2 = values if name != "box_2d" else [values[1], values[0], values[3], values[2]]
    fractions = not ours and max(values) <= 1 and any(value % 1 for value in values)
    if not (0 <= x1 < x2 <= SCALE and 0 <= y1 < y2 <= SCALE) or fractions:
        raise ValueError(f"{values} is no box in 0-{SCALE}")
    score = row.get("score", row.get("confidence"))
    return Placed(row["label"], (x1, y1, x2, y2), None if score is None else _number(score))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)


_KEYS = ("box", "bbox", "bbox_2d", "bounding_box")
_INTERNVL = re.compile(r"<ref>(?P<label>[^<]+)</ref>\s*<box>\s*(?P<boxes>\[\[[^<]*?\]\])\s*</box>")
_PALIGEMMA = re.compile(r"((?:<loc\d{4}>){4})\s*([^<;]+)")


def write_pixels(boxes: Sequence[Placed], size: tuple[int, int]) -> str:
    """Qwen2-VL and Qwen2.5-VL: JSON with absolute pixels of the image as the processor resized it, (height, width)."""
    scale = (size[1] / SCALE, size[0] / SCALE) * 2
    rows = [
        {"bbox_2d": [round(value * by) for value, by in zip(b.box, scale, strict=True)], "label": b.label}
        for b in boxes
    ]
    return json.dumps(rows, ensure_ascii=False)


def read_pixels(text: str, size: tuple[int, int]) -> list[Placed]:
    """Inverse of `write_pixels`.

    Raises:
        DataError: the text has another form.
    """
    scale = (SCALE / size[1], SCALE / size[0]) * 2
    try:
        return [
            Placed(row["label"], _whole([value * by for value, by in zip(row["bbox_2d"], scale, strict=True)]))
            for row in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"boxes {text[:80]!r} cannot be read as bbox_2d in pixels ({error})") from error


def write_thousandths(boxes: Sequence[Placed]) -> str:
    """Qwen3-VL: JSON with `bbox_2d`, 0-1000."""
    return json.dumps([{"bbox_2d": [round(v) for v in b.box], "label": b.label} for b in boxes], ensure_ascii=False)


def write_internvl(boxes: Sequence[Placed]) -> str:
    """InternVL: `<ref>label</ref><box>[[x1, y1, x2, y2], ...]</box>`, 0-1000, boxes of one label together."""
    by_label: dict[str, list[list[int]]] = {}
    for b in boxes:
        by_label.setdefault(b.label, []).append([round(value) for value in b.box])
    return "".join(f"<ref>{label}</ref><box>{json.dumps(found)}</box>" for label, found in by_label.items())


def write_paligemma(boxes: Sequence[Placed]) -> str:
    """PaliGemma: `<loc Y1><loc X1><loc Y2><loc X2> label ; ...`, 0-1023."""
    cells = [_cells(b) for b in boxes]
    return " ; ".join(
        "".join(f"<loc{value:04d}>" for value in (y1, x1, y2, x2)) + f" {b.label}"
        for (x1, y1, x2, y2), b in zip(cells, boxes, strict=True)
    )


def _cells(placed: Placed) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (min(LOCATIONS - 1, round(value / SCALE * LOCATIONS)) for value in placed.box)
    x1, y1 = min(x1, LOCATIONS - 2), min(y1, LOCATIONS - 2)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def read(text: str) -> list[Placed] | None:
    """The boxes of a reply in any form whose space its marks tell: JSON in 0-1000, `<box>`, `<loc>`.

    Nothing is mended: one box that is none, or numbers out of 0-1000 or all below 1, make the reply unreadable (None).
    """
    for read_form in _FORMS:
        try:
            found = read_form(text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        if found is not None:
            return found
    return None


def _read_internvl(text: str) -> list[Placed] | None:
    if "<box>" not in text:
        return None
    return [
        _placed({"label": match["label"].strip(), "box": box})
        for match in _INTERNVL.finditer(text)
        for box in json.loads(match["boxes"])
    ] or None


def _read_paligemma(text: str) -> list[Placed] | None:
    found = []
    for match in _PALIGEMMA.finditer(text):
        y1, x1, y2, x2 = (int(value) * SCALE / LOCATIONS for value in re.findall(r"\d{4}", match[1]))
        if not (x1 < x2 and y1 < y2):
            raise ValueError("a box without area")
        found.append(Placed(match[2].strip(), (x1, y1, x2, y2)))
    return found or None


def _read_json(text: str) -> list[Placed] | None:
    from finetune.scoring.json_replies import held_list, values

    found = values(text)
    if len(found) != 1:
        return None
    rows = [found[0]] if isinstance(found[0], dict) and "label" in found[0] else held_list(found[0])
    return None if rows is None else [_placed(row) for row in rows]


_FORMS: tuple[Callable[[str], list[Placed] | None], ...] = (_read_internvl, _read_paligemma, _read_json)

CODECS: Mapping[str, Callable[..., str]] = {
    "json": to_json,
    "pixels": write_pixels,
    "thousandths": write_thousandths,
    "internvl": write_internvl,
    "paligemma": write_paligemma,
}
"""Name that a family file gives (`Family.boxes`) -> what writes boxes so; `pixels` needs the size of the image too."""
