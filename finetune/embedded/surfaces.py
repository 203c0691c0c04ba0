"""Procedural surface images with defects: what the embedded model is trained on, and nothing else.

`make_surface(seed)` is a pure function of its seed: the image, a mask that says for each pixel which defect covers
it, and the attributes that questions are asked about. Kept out on purpose, because the recipe `defects` shows them as
new: pebbled hides, and the defect names fold, poke, glue, cut and color.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from finetune.embedded.defects import DEFECTS, Mask
from finetune.embedded.materials import MATERIALS, SIDE, Grey, Rng

SURFACES: Final = tuple(MATERIALS)
KINDS: Final = ("none", *DEFECTS)
POSITIONS: Final = (
    "top left", "top", "top right",
    "left", "center", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
MAX_COUNT: Final = 4
_COUNT_SHARES = (0.2, 0.4, 0.2, 0.1, 0.1)
_SURFACE_SHARES = (0.2, *[0.1] * (len(SURFACES) - 1))
_MIN_PIXELS = 6


@dataclass(frozen=True)
class Instance:
    """One defect: its centre of mass (x, y) in pixels, its area in pixels."""

    x: float
    y: float
    area: int

    @property
    def position(self) -> str:
        """The cell of a 3 x 3 grid that holds the centre of mass."""
        return position_word(self.x, self.y)


@dataclass(frozen=True)
class Surface:
    """One image `[128, 128, 3]` uint8, its mask `[128, 128]` of indices into `KINDS`, and what there is to ask."""

    seed: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    surface: str
    kind: str
    instances: tuple[Instance, ...]

    @property
    def position(self) -> str | None:
        """Where the defect is, when there is exactly one."""
        return self.instances[0].position if len(self.instances) == 1 else None

    @property
    def larger(self) -> str | None:
        """Which of exactly two defects is larger (left, right, upper, lower), when that is plain to see."""
        if len(self.instances) != 2:
            return None
        big, small = sorted(self.instances, key=lambda item: -item.area)
        dx, dy = big.x - small.x, big.y - small.y
        if big.area < 1.5 * small.area or max(abs(dx), abs(dy)) < 1.5 * min(abs(dx), abs(dy)):
            return None
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "upper" if dy < 0 else "lower"

    def image(self) -> Image.Image:
        """The picture as a Pillow image, mode RGB."""
        return Image.fromarray(self.pixels)


def position_word(x: float, y: float) -> str:
    """The word for a point in pixels (x to the right, y down) on a 3 x 3 grid."""
    column, row = min(2, int(3 * x / SIDE)), min(2, int(3 * y / SIDE))
    return POSITIONS[3 * row + column]


def make_surface(seed: int, subtle: float = 0.0) -> Surface:
    """Draw the surface that belongs to `seed` (any non-negative integer), in about three milliseconds.

    `subtle` is the share of pictures whose defects are hardly visible.
    """
    rng = np.random.default_rng(seed)
    surface = SURFACES[rng.choice(len(SURFACES), p=_SURFACE_SHARES)]
    field = MATERIALS[surface](rng).astype(np.float32, copy=True)
    count = int(rng.choice(5, p=_COUNT_SHARES))
    kind = KINDS[1 + rng.integers(len(DEFECTS))]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    instances = _place(field, mask, rng, kind, count, subtle) if count else ()
    return Surface(seed, _photograph(field, rng, surface), mask, surface, kind if instances else "none", instances)


def _place(
    field: Grey, mask: NDArray[np.uint8], rng: Rng, kind: str, count: int, subtle: float
) -> tuple[Instance, ...]:
    """Draw up to `count` instances that do not touch each other; the strength is the same for all of them."""
    strength = rng.uniform(0.3, 1.0) if rng.random() < 1 - subtle else rng.uniform(0.05, 0.3)
    largest = {1: 24.0, 2: 20.0}.get(count, 15.0)
    instances: list[Instance] = []
    for _ in range(3 * count):
        if len(instances) == count:
            break
        size = rng.uniform(8.0, largest)
        if count == 2:
            size = (rng.uniform(15.0, largest), rng.uniform(8.0, 11.0))[len(instances)]
        x, y = rng.uniform(6, SIDE - 6, 2)
        if kind == "chip":
            x, y = _to_edge(rng, x, y)
        trial = field.copy()
        touched = DEFECTS[kind](trial, rng, x, y, size, strength)
        if touched.sum() < _MIN_PIXELS or (instances and _near(mask, touched)):
            continue
        field[:] = trial
        mask[touched] = KINDS.index(kind)
        instances.append(_measure(touched))
    return tuple(instances)


def _to_edge(rng: Rng, x: float, y: float) -> tuple[float, float]:
    """Move a point next to one of the four edges, keeping its place along that edge."""
    return ((2.0, y), (SIDE - 2.0, y), (x, 2.0), (x, SIDE - 2.0))[rng.integers(4)]


def _near(mask: NDArray[np.uint8], touched: Mask) -> bool:
    rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
    box = mask[max(0, rows[0] - 5) : rows[-1] + 6, max(0, columns[0] - 5) : columns[-1] + 6]
    return bool(box.any())


def _measure(touched: Mask) -> Instance:
    area = int(touched.sum())
    y = float(touched.sum(1) @ np.arange(SIDE)) / area
    x = float(touched.sum(0) @ np.arange(SIDE)) / area
    return Instance(x + 0.5, y + 0.5, area)


def _photograph(field: Grey, rng: Rng, surface: str) -> NDArray[np.uint8]:
    """Camera and light: gradient, contrast, blur, noise, and a tint for some; electroluminescence is grey."""
    ramp = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    gain_y, gain_x = rng.normal(0.0, 0.15, 2)
    field = field * (1 + gain_y * ramp[:, None] + gain_x * ramp[None, :])
    if rng.random() < 0.3:
        field = field * (1 - rng.uniform(0, 1.2) * (ramp[:, None] ** 2 + ramp[None, :] ** 2))
    mean = field.mean()
    field = mean + (field - mean) * rng.uniform(0.75, 1.4) + rng.normal(0.0, 0.06)
    if rng.random() < 0.4:
        field = ndimage.gaussian_filter(field, rng.uniform(0.3, 0.9), truncate=2.0)
    grain = rng.uniform(0.0, 0.035) * rng.random()
    field = field + grain * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    field = np.clip(field, 0.0, 1.0) ** rng.uniform(0.8, 1.25)
    if rng.random() < (0.9 if surface == "solar cell" else 0.5):
        grey = (field * 255 + 0.5).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    tint = rng.uniform(0.65, 1.1, 3).astype(np.float32)
    return np.asarray(np.clip(field[..., None] * tint, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
