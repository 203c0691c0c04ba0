"""Ways to write boxes: what each family's weights and each provider were taught, written and read.

A reply is read by the notation that was asked for and by no other: coordinates without their
space are not a box. What is read becomes canonical, thousandths of the upright image.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from finetune.errors import ConfigError
from finetune.scoring.box_records import NONE, NOTATIONS, Notation
from finetune.scoring.box_text import SCALE, UNREADABLE, Placed
from finetune.scoring.json_replies import held_list, values

__all__ = ["NONE", "NOTATIONS", "Form", "Frame", "Notation", "of", "spelled"]

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """Sizes that coordinates in pixels are relative to.

    Attributes:
        size: (height, width) of the upright image or tile, or None where nobody knows it.
        resized: (height, width) that the processor makes of it, or None where it is as `size`.
    """

    size: tuple[int, int] | None = None
    resized: tuple[int, int] | None = None

    @property
    def seen(self) -> tuple[int, int]:
        """(height, width) as the model sees it.

        Raises:
            ConfigError: no size is known.
        """
        if (seen := self.resized or self.size) is None:
            raise ConfigError("boxes in pixels need the size of the image; run prepare again.")
        return seen


NUMBER = r"-?\d+(?:\.\d+)?"
_LABEL = r"(?P<label>[^<>\[\];]+?)"
_PATTERNS = {
    "compact": rf"(?:^|;|\n)\s*{_LABEL}\s+(?P<box>\d\d(?:[ ]+\d\d){{3}})(?=\s*(?:;|\n|$))",
    "llava": rf"(?:^|;|\n)\s*{_LABEL}\s*(?P<box>\[[^\[\]]*\])(?=\s*(?:;|\n|$))",
    "paligemma": rf"(?P<box>(?:\s*<loc\d{{4}}>){{4}})\s*{_LABEL}\s*(?=;|<loc|\n|$)",
    "internvl": rf"<ref>\s*{_LABEL}\s*</ref>\s*<box>\s*(?P<boxes>\[\s*\[[^<]*\]\s*\])\s*</box>",
    "minicpmv": rf"<ref>\s*{_LABEL}\s*</ref>\s*<box>(?P<box>[^<\[\]]*)</box>",
    "glm4v": rf"\s*{_LABEL}:?\s*<\|begin_of_box\|>\s*(?P<boxes>\[\s*\[[^<]*\]\s*\])\s*<\|end_of_box\|>",
    "qwen2_vl": rf"<\|object_ref_start\|>\s*{_LABEL}\s*<\|object_ref_end\|>"
    r"(?P<box>(?:\s*<\|box_start\|>[^<]*<\|box_end\|>)+)",
}
_BEGINS = {
    "compact": r"[^;\n]+",
    "llava": r"[^;\n]+",
    "paligemma": r"[^;\n]+",
    "internvl": r"\[[^\[\]]*\](?=\s*,|\s*\]|\s*<)|<box>(?![^<]*</box>)",
    "minicpmv": r"<box>",
    "glm4v": r"\[[^\[\]]*\](?=\s*,|\s*\]|\s*<)|<\|begin_of_box\|>(?![^<]*<\|end_of_box\|>)",
    "qwen2_vl": r"<\|box_start\|>",
}
"""What begins a box, by which boxes that are not whole are counted."""


@dataclass(frozen=True)
class Form:
    """A notation about one image: what a target is written in and a reply is read by.

    Attributes:
        notation: the record.
        frame: sizes, for coordinates in pixels and in a padded square.
    """

    notation: Notation
    frame: Frame = Frame()

    def spelled(self) -> str:
        """The form in the field `parser` of a prediction, so that a reply can be read again.

        Sizes are named as height and width where the notation needs them.
        """
        if isinstance(self.notation.scale, int):
            return self.notation.name
        sizes = [size for size in (self.frame.size, self.frame.resized) if size]
        return "+".join([self.notation.name, *(f"{height}x{width}" for height, width in sizes)])

    def write(self, boxes: Sequence[Placed]) -> str:
        """Boxes as the notation writes them, in the order of the list."""
        cells = [(box.label, self._cells(box.box)) for box in boxes]
        kind, _, key = self.notation.container.partition(":")
        if kind == "json":
            rows = [{key: list(cell), "label": label} for label, cell in cells]
            if self.notation.name == "json":
                rows = [{"label": row["label"], key: row[key]} for row in rows]
            return json.dumps(rows, ensure_ascii=False)
        return _WRITERS[kind](cells) if cells else NONE

    def read(self, text: str) -> list[Placed] | None:
        """Boxes of a reply; None where it is not in this notation.

        A box that is empty, not whole or without area is in the list as `UNREADABLE`: it costs
        that box, beside others that can be read. Coordinates outside of the space, or none above
        1 where it has more steps, say that another notation was written: the reply is not read.
        """
        kind, _, key = self.notation.container.partition(":")
        rows = _read_json(text, key) if kind == "json" else _read_tags(text, kind)
        if rows is None:
            return None
        found = []
        for label, corners, score in rows:
            if corners is not None and not self._inside(corners):
                return None
            found.append(Placed(label, UNREADABLE if corners is None else self._thousandths(corners), score))
        return None if found and all(box.box == UNREADABLE for box in found) else found

    @property
    def _spans(self) -> tuple[float, float]:
        """Steps across and down."""
        scale = self.notation.scale
        if isinstance(scale, int):
            return float(scale), float(scale)
        return (1.0, 1.0) if scale == "square" else (float(self.frame.seen[1]), float(self.frame.seen[0]))

    def _padding(self) -> tuple[float, float]:
        """What the image takes of the padded square, across and down."""
        if self.notation.scale != "square":
            return 1.0, 1.0
        height, width = self.frame.seen
        return width / max(height, width), height / max(height, width)

    def _cells(self, box: Corners) -> tuple[float, ...]:
        """Coordinates of the notation, at least one step wide and high, in its order."""
        steps = 100 if self.notation.scale == "square" else 1
        found = []
        sides = ((box[0], box[2]), (box[1], box[3]))
        for (low, high), span, part in zip(sides, self._spans, self._padding(), strict=True):
            top = round(span * steps)
            ends = [round((value / SCALE * part + (1 - part) / 2) * span * steps) for value in (low, high)]
            start = min(max(ends[0], 0), top - 1)
            found.append((start, min(max(ends[1], start + 1), top)))
        (x1, x2), (y1, y2) = found
        if steps == 1 and max(x2, y2) <= 1 and min(self._spans) >= 2:  # else it would read as shares
            x2, y2 = 2, 2
        values = (x1, y1, x2, y2) if self.notation.order == "xyxy" else (y1, x1, y2, x2)
        return values if steps == 1 else tuple(value / steps for value in values)

    def _inside(self, corners: Corners) -> bool:
        x1, y1, x2, y2 = self._ordered(corners)
        across, down = self._spans
        shares = self.notation.scale != "square" and max(corners) <= 1
        return min(corners) >= 0 and max(x1, x2) <= across and max(y1, y2) <= down and not shares

    def _ordered(self, corners: Corners) -> Corners:
        a, b, c, d = corners
        return corners if self.notation.order == "xyxy" else (b, a, d, c)

    def _thousandths(self, corners: Corners) -> Corners:
        x1, y1, x2, y2 = self._ordered(corners)
        if x2 <= x1 or y2 <= y1:
            return UNREADABLE
        across, down = self._spans
        wide, high = self._padding()
        found = [
            min(SCALE, max(0.0, (value / span - (1 - part) / 2) / part * SCALE))
            for value, span, part in zip((x1, y1, x2, y2), (across, down) * 2, (wide, high) * 2, strict=True)
        ]
        return (found[0], found[1], found[2], found[3]) if found[0] < found[2] and found[1] < found[3] else UNREADABLE


Row = tuple[str, Corners | None, float | None]
Cell = tuple[str, tuple[float, ...]]


_BEGUN = re.compile(r"\s*(?:```(?:json)?\s*)?\[?\s*\{")
"""A reply that is a list from its beginning, so that nothing before it denies it."""


def _read_json(text: str, key: str) -> list[Row] | None:
    """Label, coordinates and score of each object; None where another key says another notation."""
    found = values(text)
    rows = None
    if len(found) == 1:
        single = isinstance(found[0], dict) and key in found[0]
        rows = [found[0]] if single else held_list(found[0])
    elif not found and _BEGUN.match(text):
        rows = [_object(match[0]) for match in re.finditer(r"\{[^{}]*(?:\}|$)", text)]
    if rows is None:
        return None
    read = []
    for row in rows:
        if not isinstance(row, dict):
            return None
        if row and key not in row:
            return None
        label, score = row.get("label", ""), _number(row.get("score", row.get("confidence")))
        read.append((label if isinstance(label, str) else "", _corners(row, key), score))
    return read if any(row for row in rows) or not rows else None


def _object(text: str) -> dict[str, object]:
    """An object of a list that is not whole; {} where it is not whole itself."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _corners(row: Mapping[str, object], key: str) -> Corners | None:
    given = row.get(key)
    numbers = [_number(value) for value in given] if isinstance(given, list) else []
    known = [value for value in numbers if value is not None]
    if len(numbers) != 4 or len(known) != 4 or not isinstance(row.get("label"), str):
        return None
    return known[0], known[1], known[2], known[3]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read_tags(text: str, kind: str) -> list[Row] | None:
    if text.strip().strip(".'\"").casefold() == NONE:
        return []
    found: list[Row] = []
    for match in re.finditer(_PATTERNS[kind], text):
        for part in _parts(match.groupdict(), kind):
            numbers = [float(value) for value in re.findall(NUMBER, part)]
            four = (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None
            found.append((match["label"].strip(), four, None))
    if not found:
        return None
    missing = sum(1 for _ in re.finditer(_BEGINS[kind], text)) - len(found)
    return found + [("", None, None)] * max(0, missing)


def _parts(groups: Mapping[str, str | None], kind: str) -> list[str]:
    """The text of each box under one label."""
    if boxes := groups.get("boxes"):
        return re.findall(r"\[([^\[\]]*)\]", boxes)
    box = groups.get("box") or ""
    return re.findall(r"<\|box_start\|>([^<]*)<\|box_end\|>", box) if kind == "qwen2_vl" else [box]


def _each(template: str, between: str, cells: Sequence[Cell]) -> str:
    return between.join(template.format(*(_short(v) for v in cell), label=label) for label, cell in cells)


def _short(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _by_label(template: str, between: str, cells: Sequence[Cell]) -> str:
    together: dict[str, list[list[int]]] = {}
    for label, cell in cells:
        together.setdefault(label, []).append([int(value) for value in cell])
    return between.join(template.format(label=label, boxes=json.dumps(found)) for label, found in together.items())


_WRITERS: Mapping[str, Callable[[Sequence[Cell]], str]] = {
    "compact": partial(_each, "{label} {0:02d} {1:02d} {2:02d} {3:02d}", "; "),
    "llava": partial(_each, "{label} [{0}, {1}, {2}, {3}]", "; "),
    "paligemma": partial(_each, "<loc{0:04d}><loc{1:04d}><loc{2:04d}><loc{3:04d}> {label}", " ; "),
    "minicpmv": partial(_each, "<ref>{label}</ref><box>{0} {1} {2} {3}</box>", ""),
    "qwen2_vl": partial(
        _each,
        "<|object_ref_start|>{label}<|object_ref_end|><|box_start|>({0},{1}),({2},{3})<|box_end|>",
        "",
    ),
    "internvl": partial(_by_label, "<ref>{label}</ref><box>{boxes}</box>", ""),
    "glm4v": partial(_by_label, "{label} <|begin_of_box|>{boxes}<|end_of_box|>", " "),
}


def of(name: str) -> Notation:
    """The notation of that name.

    Raises:
        ConfigError: there is none; says which there are.
    """
    if name not in NOTATIONS:
        raise ConfigError(f"task.options.boxes: got {name!r}, expected native or one of {', '.join(NOTATIONS)}")
    return NOTATIONS[name]


def spelled(text: str) -> Form:
    """Inverse of `Form.spelled`.

    Raises:
        ConfigError: the text does not name a notation.
    """
    name, *sizes = text.split("+")
    pairs = [(int(height), int(width)) for height, _, width in (size.partition("x") for size in sizes)]
    return Form(of(name), Frame(*pairs))
