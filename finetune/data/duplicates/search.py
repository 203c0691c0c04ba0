"""Finds pairs of pictures that are nearly equal: candidates by perceptual hash, confirmed by pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.data.duplicates import alignment
from finetune.data.duplicates.fingerprint import SIDE, Values, colours, hashes, luma

LIMIT = 0.0045
"""Largest distance of a copy in its place; measured by bench/near_duplicates.py, as is the next."""

LIMIT_MOVED = 0.003
"""Largest distance of a copy that was cropped or taken again: more freedom to fit needs a closer fit."""

_RADIUS = 8
"""Bits of 64 by which the hashes of candidates may differ."""

_ALIKE = 0.8
"""Correlation of structure below which a candidate is not looked at further."""

_HOPE = 0.12
"""Distance in place above which a pair is not moved about."""

_COLOUR_GAP = 10.0
"""Root mean square difference of colours, in levels, above which two pictures differ, however alike their grey is."""

_BLOCK, _STRIDE, _AT_ONCE = 64, 2**14, 2048
_CROP = 0.95
_OFFSET_PX, _SHIFT_PX = 0.4, 0.5
COMPARISONS = 3 * 10**10
"""Hashes compared at most: about two minutes of one core."""

CANDIDATES = 10**7
"""Pairs whose pixels are compared at most."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by their numbers, the share of structure in which they differ, and whether one is mirrored."""

    first: int
    second: int
    distance: float
    mirrored: bool


@dataclass(frozen=True)
class Plan:
    """How thorough a search of so many pictures can be.

    Attributes:
        radius: bits by which hashes of candidates may differ.
        crops: whether cropped and shifted copies are looked for.
        note: what was cut back and why; empty where nothing was.
    """

    radius: int = _RADIUS
    crops: bool = True
    note: str = ""


def _steps(crops: bool) -> Values:
    """Ways to lay a picture over its copy before hashing, as steps of `confirm.warped` (pixels of 32)."""
    found = [(0.0, 0.0, 0.0, 0.0)]
    if crops:
        cut = _CROP - 1
        signs = [(x, y) for x in (-1, 1) for y in (-1, 1)]
        found += [(x * _OFFSET_PX, y * _OFFSET_PX, cut, cut) for x, y in signs]
        found += [(x * _SHIFT_PX, y * _SHIFT_PX, 0.0, 0.0) for x, y in signs]
    return np.array(found, dtype=np.float32)


def plan(keys: NDArray[np.uint64]) -> Plan:
    """Cuts the search back where it would take too long; a sample says how many candidates there are."""
    count = len(keys)
    if count**2 > COMPARISONS:
        return Plan(0, False, f"not searched: {count:,} different pictures, {int(COMPARISONS**0.5):,} are compared")
    notes = []
    crops = count**2 * (len(_steps(True)) + 1) <= COMPARISONS
    if not crops:
        notes.append(f"cropped and shifted copies are not looked for among {count:,} different pictures")
    sample = keys[:: max(1, count // 1000)]
    apart = np.bitwise_count(sample[:, None] ^ sample[None, :])
    off = apart[~np.eye(len(sample), dtype=bool)]
    ways = len(_steps(crops)) + 1
    radius = _RADIUS
    while radius > 2 and ways * count**2 / 2 * float((off <= radius).mean() if off.size else 0) > CANDIDATES:
        radius -= 2
    if radius < _RADIUS:
        notes.append(f"the pictures are so alike that hashes may differ in {radius} bits only, not {_RADIUS}")
    return Plan(radius, crops, "; ".join(notes))


def search(sketches: NDArray[np.float16]) -> tuple[list[Pair], Plan]:
    """Pairs of nearly equal pictures, each once, at its smallest distance, sorted.

    Args:
        sketches: of pictures that differ, `[n, LENGTH]`; may be memory-mapped.
    """
    keys = np.concatenate(
        [hashes(luma(sketches[at : at + 4096])) for at in range(0, len(sketches), 4096)] or [np.zeros(0, np.uint64)]
    )
    how = plan(keys)
    best: dict[tuple[int, int], Pair] = {}
    for pair in _confirmed(sketches, keys, how) if how.radius else ():
        known = best.get((pair.first, pair.second))
        if known is None or pair.distance < known.distance:
            best[pair.first, pair.second] = pair
    return [best[key] for key in sorted(best)], how


def _confirmed(sketches: NDArray[np.float16], keys: NDArray[np.uint64], how: Plan) -> Iterator[Pair]:
    """Compares the pixels of every candidate, block by block."""
    steps = _steps(how.crops)
    for start in range(0, len(keys), _BLOCK):
        block = luma(sketches[start : start + _BLOCK])
        for mirrored in (False, True):
            turned = block[:, :, ::-1] if mirrored else block
            for step in steps[: 1 if mirrored else None]:
                laid = alignment.warped(turned, np.broadcast_to(step, (len(turned), 4)))
                whole = not step.any()
                rows, others = _near(hashes(laid), keys, how.radius, start if whole else 0)
                keep = rows + start < others if whole else rows + start != others
                for first, second, gap in _look(sketches, laid, rows[keep], others[keep], (start, mirrored)):
                    yield Pair(min(first, second), max(first, second), gap, mirrored)


def _near(
    queries: NDArray[np.uint64], keys: NDArray[np.uint64], radius: int, since: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of queries and of keys, from `since` on, whose hashes differ in at most `radius` bits."""
    rows, others = [], []
    for at in range(since, len(keys), _STRIDE):
        row, other = np.nonzero(np.bitwise_count(queries[:, None] ^ keys[None, at : at + _STRIDE]) <= radius)
        rows.append(row)
        others.append(other + at)
    return np.concatenate(rows), np.concatenate(others)


def _look(
    sketches: NDArray[np.float16],
    laid: Values,
    rows: NDArray[np.intp],
    others: NDArray[np.intp],
    where: tuple[int, bool],
) -> Iterator[tuple[int, int, float]]:
    """The pairs (number, number, distance) of candidates that are one photograph."""
    start, mirrored = where
    evened = alignment.even(laid)
    bands = alignment.structure(evened)
    flat = alignment.is_flat(bands)
    for at in range(0, len(rows), _AT_ONCE):
        row, other = rows[at : at + _AT_ONCE], others[at : at + _AT_ONCE]
        theirs = alignment.even(luma(sketches[other]))
        structure = alignment.structure(theirs)
        near = np.flatnonzero(
            (_correlation(bands[row], structure) >= _ALIKE) & ~flat[row] & ~alignment.is_flat(structure)
        )
        row, other, theirs = row[near], other[near], theirs[near]
        placed = alignment.in_place(evened[row], theirs)
        moved = np.ones_like(placed)
        hopeful = np.flatnonzero((placed > LIMIT) & (placed < _HOPE))
        moved[hopeful] = alignment.moved(evened[row[hopeful]], theirs[hopeful])
        tints = _tints(sketches, row + start, other, mirrored)
        for place in np.flatnonzero(((placed <= LIMIT) | (moved <= LIMIT_MOVED)) & (tints <= _COLOUR_GAP)):
            gap = placed[place] if placed[place] <= LIMIT else moved[place]
            yield int(row[place]) + start, int(other[place]), round(float(gap), 5)


def _correlation(first: Values, second: Values) -> Values:
    one, two = (bands.reshape(len(bands), SIDE * SIDE) for bands in (first, second))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    found: Values = (one * two).sum(axis=1) / np.maximum(lengths, 1e-9)
    return found


def _tints(
    sketches: NDArray[np.float16], first: NDArray[np.intp], second: NDArray[np.intp], mirrored: bool
) -> NDArray[np.float32]:
    one, two = colours(sketches[first]), colours(sketches[second])
    gap: NDArray[np.float32] = np.sqrt((((one[..., ::-1] if mirrored else one) - two) ** 2).mean(axis=(1, 2, 3)))
    return gap
