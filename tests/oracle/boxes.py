"""Labelled boxes once more: exact arithmetic, one-to-one finds, average precision, and tiles put together.

Corners are whole hundredths of a thousandth of the image, as the canonical text writes them, so that a box that shares
exactly half is one that shares half.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from oracle import formulas

Box = tuple[str, tuple[int, ...], float | None]
"""Label, x1 y1 x2 y2 in hundredths of a thousandth, score."""
Tree = dict[str, float]
DRAWS = 200
MOST = 100
HALVES = np.linspace(0.5, 0.95, 10).tolist()
RECALLS = [0.01 * step for step in range(101)]
SEED = 0


def read(text: str) -> list[Box]:
    """The boxes of a canonical text."""
    rows = json.loads(text)
    return [(row["label"], tuple(round(value * 100) for value in row["box"]), row.get("score")) for row in rows]


def area(corners: Sequence[float]) -> float:
    """Of x1, y1, x2, y2; 0 where they enclose nothing."""
    return max(0, corners[2] - corners[0]) * max(0, corners[3] - corners[1])


def common(a: Sequence[float], b: Sequence[float]) -> float:
    """Area that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def share(a: Box, b: Box) -> Fraction:
    """Intersection over union; 0 where labels differ."""
    if a[0] != b[0]:
        return Fraction(0)
    both = int(common(a[1], b[1]))
    return Fraction(both, int(area(a[1]) + area(b[1])) - both)


def found(gold: Sequence[Box], said: Sequence[Box]) -> int:
    """Most pairs of a gold box and a box said that share half, each box in one pair at most (augmenting paths)."""
    partners = [[j for j, b in enumerate(said) if 2 * share(a, b) >= 1] for a in gold]
    owner: dict[int, int] = {}
    return sum(_settle(place, partners, owner) for place in range(len(gold)))


def _settle(start: int, partners: Sequence[Sequence[int]], owner: dict[int, int]) -> bool:
    """Finds a partner for one gold box, where need be by giving others another one."""
    asked_by: dict[int, int] = {}
    waiting = [start]
    while waiting:
        gold = waiting.pop()
        for said in partners[gold]:
            if said in asked_by:
                continue
            asked_by[said] = gold
            if said in owner:
                waiting.append(owner[said])
                continue
            held = {own: place for place, own in owner.items()}
            place: int | None = said
            while place is not None:
                owner[place], place = asked_by[place], held.get(asked_by[place])
            return True
    return False


def exact(gold: str, answer: str) -> bool:
    """Whether every gold box is found and nothing else is said."""
    wanted, said = read(gold), read(answer)
    return len(wanted) == len(said) == found(wanted, said)


def hits(gold: Sequence[Box], said: Sequence[Box], half: float = 0.5) -> list[bool]:
    """For each box said, best score first, whether of the gold boxes left the one it shares most with shares enough.

    Of equal partners the last is taken.
    """
    left, told = list(enumerate(gold)), [False] * len(said)
    for place in sorted(range(len(said)), key=lambda i: -(said[i][2] or 0.0)):
        best = max(left, key=lambda own: (share(own[1], said[place]), own[0]), default=None)
        if best is not None and float(share(best[1], said[place])) >= half:
            left.remove(best)
            told[place] = True
    return told


def mean_average_precisions(
    golds: Sequence[Sequence[Box]], said: Sequence[Sequence[Box]], groups: Sequence[str]
) -> tuple[Tree, Tree]:
    """Mean over the gold labels of COCO's average precision, at half and from there to .95, with percentile intervals.

    A label without a gold box in a resample is not counted there, and a resample without any not at all.
    """
    own, count = formulas.index(groups)
    labels = sorted({box[0] for side in golds for box in side})
    if not labels:
        return {"value": 0.0, "low": 0.0, "high": 1.0}, {"value": 0.0, "low": 0.0, "high": 1.0}
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    times = np.array([np.ones(len(golds), int), *(draw[own] for draw in drawn)])
    tables = [[_areas(*_ranked(label, golds, said, half), times) for label in labels] for half in HALVES]
    return _meant(tables[:1]), _meant(tables)


def _meant(tables: Sequence[Sequence[Any]]) -> Tree:
    rows = zip(*(one for table in tables for one in table), strict=True)
    counted = [[value for value in row if value is not None] for row in rows]
    values = [sum(row) / len(row) for row in counted if row]
    low, high = (float(bound) for bound in np.percentile(values[1:], [2.5, 97.5]))
    return {"value": values[0], "low": min(low, values[0]), "high": max(high, values[0])}


def _ranked(
    label: str, golds: Sequence[Sequence[Box]], said: Sequence[Sequence[Box]], half: float
) -> tuple[list[tuple[int, bool]], list[int]]:
    """Item and hit of each box said of one label, best score first, and the gold boxes of each item."""
    rows, sizes = [], []
    for item, sides in enumerate(zip(golds, said, strict=True)):
        wanted, told = ([box for box in side if box[0] == label] for side in sides)
        told = sorted(told, key=lambda box: -(box[2] or 0.0))[:MOST]
        sizes.append(len(wanted))
        rows += [(box[2] or 0.0, item, hit) for box, hit in zip(told, hits(wanted, told, half), strict=True)]
    return [(item, hit) for _, item, hit in sorted(rows, key=lambda row: -row[0])], sizes


def _areas(ranked: Sequence[tuple[int, bool]], sizes: Sequence[int], times: Any) -> list[float | None]:
    """Mean over 101 recalls of the best precision at that recall or above, items counted as often as drawn.

    None where no gold box was drawn.
    """
    found: list[float | None] = []
    for often in times.tolist():
        total = sum(size * number for size, number in zip(sizes, often, strict=True))
        right, seen, steps = 0, 0, []
        for item, hit in ranked:
            seen += often[item]
            right += often[item] * hit
            steps.append((right / total if total else 0.0, right / seen if seen else 0.0))
        best, bests = 0.0, []
        for recall, precision in reversed(steps):
            best = max(best, precision)
            bests.append((recall, best))
        bests.reverse()
        at, under = 0, 0.0
        for recall in RECALLS:
            while at < len(bests) and bests[at][0] < recall:
                at += 1
            under += bests[at][1] if at < len(bests) else 0.0
        found.append(under / len(RECALLS) if total else None)
    return found


def joined(answers: Sequence[str | None], tiles: Sequence[Sequence[int]], size: tuple[int, int]) -> str:
    """Boxes of the tiles of an image as canonical text about the image; a tile without an answer found nothing.

    The best score first, then the largest: a box is left out where one of its label from another tile, taken before,
    shares half of the smaller one.

    Args:
        answers: canonical text of each tile.
        tiles: left, top, right, bottom of each in pixels.
        size: (height, width) of the image.
    """
    told = [row for place, answer in enumerate(answers) if answer for row in _placed(place, answer, tiles[place])]
    kept: list[dict[str, Any]] = []
    for row in sorted(told, key=lambda row: (-(row["score"] or 0.0), -area(row["box"]))):
        if not any(_repeats(row, other) for other in kept):
            kept.append(row)
    scale = (1000, 1000) * 2
    sides = (size[1], size[0]) * 2
    for row in kept:
        row["box"] = [value * by / side for value, by, side in zip(row["box"], scale, sides, strict=True)]
    kept.sort(key=lambda row: (row["box"][1], row["box"][0], row["label"], row["box"][2:]))
    return json.dumps([_written(row) for row in kept], ensure_ascii=False)


def _placed(place: int, answer: str, tile: Sequence[int]) -> list[dict[str, Any]]:
    """The boxes of one tile, in pixels of the image."""
    starts, ends = (tile[0], tile[1]) * 2, (tile[2], tile[3]) * 2
    return [
        {
            "label": row["label"],
            "box": [a + value / 1000 * (b - a) for value, a, b in zip(row["box"], starts, ends, strict=True)]
            if any(row["box"])
            else [0.0] * 4,
            "score": row.get("score"),
            "tile": place,
        }
        for row in json.loads(answer)
    ]


def _repeats(row: dict[str, Any], other: dict[str, Any]) -> bool:
    if row["tile"] == other["tile"] or row["label"] != other["label"]:
        return False
    both = common(row["box"], other["box"])
    return both > 0 and 2 * both >= min(area(row["box"]), area(other["box"]))


def _written(row: dict[str, Any]) -> dict[str, Any]:
    box = {"label": row["label"], "box": [round(value, 2) for value in row["box"]]}
    return box if row["score"] is None else box | {"score": row["score"]}
