"""Large images, small defects: where tiles lie, what they hold, and how answers about them make one about the image.

Rules. Tiles of an axis stand `size - overlap` apart; the last one ends flush with the image, and an image that is
smaller than a tile is one tile. A box belongs to every tile that shows at least half of it along each axis, or half of
the tile where it is longer than that; it is clipped to the tile. Since tiles leave no gap, every box belongs to one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from finetune import plugins
from finetune.config.schema import Config, DataConfig, TilesConfig
from finetune.data import split
from finetune.errors import DataError
from finetune.example import Box, Example, ImageRef, Whole
from finetune.scoring.box_text import SCALE, UNREADABLE, from_json, in_thousandths, to_json

Rectangle = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the upright image."""

SAME = 0.5
"""Two boxes of one label from different tiles are one find where they share this part of the smaller one."""


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Where the tiles of one axis begin, in order."""
    if length <= size:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]


def grid(size: tuple[int, int], rule: TilesConfig) -> list[Rectangle]:
    """The tiles of an image of (height, width), row by row; one for all of it where `data.tiles` cuts nothing."""
    height, width = size
    side = rule.size or max(size)
    lefts, tops = starts(width, side, rule.overlap), starts(height, side, rule.overlap)
    return [(x, y, min(x + side, width), min(y + side, height)) for y in tops for x in lefts]


def within(boxes: Sequence[Box], tile: Rectangle) -> tuple[Box, ...]:
    """The boxes that belong to a tile, clipped to it, in its own pixels."""
    left, top, right, bottom = tile
    return tuple(
        replace(
            box,
            x1=max(box.x1, left) - left,
            y1=max(box.y1, top) - top,
            x2=min(box.x2, right) - left,
            y2=min(box.y2, bottom) - top,
        )
        for box in boxes
        if _belongs(box.x1, box.x2, left, right) and _belongs(box.y1, box.y2, top, bottom)
    )


def _belongs(low: float, high: float, start: int, end: int) -> bool:
    shown = min(high, end) - max(low, start)
    return shown > 0 and 2 * shown >= min(high - low, end - start)


def name(whole: str, tile: Rectangle) -> str:
    """Id of a tile: that of its image, and the left upper corner."""
    return f"{whole}@{tile[0]},{tile[1]}"


def whole_of(tile_id: str) -> str:
    """Id of the image that a tile was cut from."""
    return tile_id.rpartition("@")[0]


def cut(example: Example, sizes: Sequence[tuple[int, int]], config: Config) -> list[Example]:
    """The tiles of an example, their answers made from the boxes in them; the example itself where nothing is cut.

    Args:
        example: as the task admitted it.
        sizes: (height, width) of its images, upright.
        config: its sections data and task count.

    Raises:
        DataError: its images differ in size, or its answer does not say what each tile holds.
    """
    rule, task = config.data.tiles, plugins.load("task", config.task.kind)
    if rule.size is None:
        return [task.complete(config.task, example, sizes)]
    if len(set(sizes)) > 1:
        shown = " and ".join(f"{width} x {height}" for height, width in sizes)
        raise DataError(f"has images of {shown} pixels; data.tiles cuts the same tile out of each, so they must agree")
    if any(box.image for box in example.boxes or ()):
        raise DataError("has boxes on a second image; data.tiles knows boxes on the first alone")
    whole = task.whole(example, sizes[0], rule.empty)
    found = []
    for part in pieces(replace(example, target=whole), sizes[0], rule):
        left, top, right, bottom = tile = rectangle(part.images[0])
        boxes = within(example.boxes or (), tile)
        part = replace(part, target=task.of_tile(example, boxes, rule.empty), boxes=boxes)
        found.append(task.complete(config.task, part, [(bottom - top, right - left)] * len(sizes)))
    return found


def pieces(example: Example, size: tuple[int, int], rule: TilesConfig) -> list[Example]:
    """The tiles of an example whose images are of one (height, width), with the answer of the whole in `whole`."""
    whole = Whole(example.id, example.target, size)
    return [
        replace(
            example,
            id=name(example.id, tile),
            images=tuple(replace(ref, tile=tile) for ref in example.images),
            whole=whole,
            size=(tile[3] - tile[1], tile[2] - tile[0]) if example.size else None,
        )
        for tile in grid(size, rule)
    ]


def thin(items: Sequence[split.Item], fold: split.Fold, empty: set[str], data: DataConfig) -> split.Fold:
    """Leaves out training tiles without a box, so that about `data.tiles.keep_empty` of them remain, by a hash."""
    share = data.tiles.keep_empty
    if share >= 1 or not empty:
        return fold
    left_out = {
        item.id: split.UNUSED
        for item in items
        if item.id in empty
        and fold.splits[item.id] == "train"
        and split.fraction(f"{data.split.salt}/empty", item.id) >= share
    }
    return split.Fold(fold.name, {**fold.splits, **left_out})


def in_pieces(boxes: Sequence[Box], size: tuple[int, int], rule: TilesConfig) -> int:
    """How many boxes lie in no tile whole: they are learned and found in pieces."""
    tiles = grid(size, rule)
    return sum(not any(_inside(box, tile) for tile in tiles) for box in boxes)


def _inside(box: Box, tile: Rectangle) -> bool:
    return tile[0] <= box.x1 and tile[1] <= box.y1 and box.x2 <= tile[2] and box.y2 <= tile[3]


@dataclass(frozen=True)
class _Found:
    """A box of an answer in pixels of the whole image, and the tile that it was found in."""

    tile: int
    box: Box
    score: float | None


def join(answers: Sequence[str | None], tiles: Sequence[Rectangle], size: tuple[int, int]) -> str:
    """Boxes found in tiles as one canonical answer about the image; a tile without an answer found nothing.

    Best score first (then largest, then as listed), a box is left out where another tile's of its label, already taken,
    shares half of the smaller of the two: that is one defect in the overlap, or its rest at the edge of a tile.

    Args:
        answers: canonical text of each tile.
        tiles: where each lies.
        size: (height, width) of the image.
    """
    found = [row for index, answer in enumerate(answers) if answer for row in _placed(index, answer, tiles[index])]
    taken: list[_Found] = []
    for row in sorted(found, key=lambda f: (-(f.score or 0.0), -_area(f.box))):
        if not any(_one_find(row, other) for other in taken):
            taken.append(row)
    boxes = in_thousandths([row.box for row in taken], size)
    return to_json([replace(box, score=row.score) for box, row in zip(boxes, taken, strict=True)])


def _placed(index: int, answer: str, tile: Rectangle) -> Iterator[_Found]:
    left, top, right, bottom = tile
    for placed in from_json(answer):
        if placed.box == UNREADABLE:
            yield _Found(index, Box(*UNREADABLE, placed.label), placed.score)
            continue
        x1, y1, x2, y2 = (
            start + value / SCALE * (end - start)
            for value, start, end in zip(placed.box, (left, top) * 2, (right, bottom) * 2, strict=True)
        )
        yield _Found(index, Box(x1, y1, x2, y2, placed.label), placed.score)


def _one_find(first: _Found, second: _Found) -> bool:
    a, b = first.box, second.box
    if first.tile == second.tile or a.label != b.label:
        return False
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    return width > 0 and height > 0 and width * height >= SAME * min(_area(a), _area(b))


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def rectangle(ref: ImageRef) -> Rectangle:
    """Where a tile lies; a whole image has none.

    Raises:
        DataError: it is no tile.
    """
    if ref.tile is None:
        raise DataError(f"image {ref.path!r} is whole, where a tile was expected; run prepare again.")
    return ref.tile


def joined(answers: Mapping[str, str | None], examples: Sequence[Example]) -> str:
    """The boxes of the tiles of one image together.

    Args:
        answers: id of a tile -> its canonical answer.
        examples: the tiles of the image.
    """
    whole = examples[0].whole
    size = whole.size if whole else (1, 1)
    return join([answers[tile.id] for tile in examples], [rectangle(tile.images[0]) for tile in examples], size)
