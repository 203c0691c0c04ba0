"""Photographs of a procedural leather line: pebbled hide, stitched seams, and what goes wrong with them.

A part is a relief (height, `[176, 176]`), a reflectance, a gloss and a colour; a photograph lights it from one side,
turns and crops it to the picture, and adds lens shading and sensor noise. Coordinates are pixels of the part, x to the
right, y down. Everything is a pure function of the generator that is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

Field = NDArray[np.float32]
Rng = np.random.Generator

CANVAS_PX = 176
_CENTRE = CANVAS_PX / 2
_POOL_PX = 512
_Y, _X = np.mgrid[0:CANVAS_PX, 0:CANVAS_PX].astype(np.float32)
_GAMMA = [round(255 * (level / 255) ** 0.8) for level in range(256)] * 3
_WARM = np.array([1.05, 0.98, 0.84], np.float32)
_HIDES = np.array(
    [
        [0.50, 0.29, 0.16],  # saddle
        [0.38, 0.20, 0.12],  # chestnut
        [0.60, 0.42, 0.26],  # tan
        [0.27, 0.17, 0.13],  # espresso
        [0.42, 0.15, 0.13],  # oxblood
        [0.24, 0.27, 0.20],  # olive
        [0.22, 0.24, 0.30],  # navy
        [0.62, 0.54, 0.44],  # sand
    ],
    np.float32,
)
_THREADS = np.array([[0.85, 0.78, 0.62], [0.75, 0.55, 0.25], [0.30, 0.22, 0.18]], np.float32)


@dataclass
class Part:
    """One piece of leather.

    Attributes:
        height: relief, about 1 a pebble.
        albedo: factor on the colour of the hide.
        gloss: 0 matt to 1 wet.
        paint: coverage of a foreign colour (thread, glue) from 0 to 1.
        paint_colour: that colour for each pixel, `[176, 176, 3]`.
        colour: of the hide, RGB 0-1.
    """

    height: Field
    albedo: Field
    gloss: Field
    paint: Field
    paint_colour: Field
    colour: Field


@lru_cache(maxsize=1)
def _pools() -> tuple[list[Field], Field]:
    """Tileable pebble reliefs of three grain sizes, and smooth noise of unit variance, `[512, 512]` each."""
    rng = np.random.default_rng(7_041_776)
    pixels = np.indices((_POOL_PX, _POOL_PX)).reshape(2, -1).T.astype(np.float64)
    reliefs = []
    for pebble_px in (5.0, 6.5, 8.5):
        steps = int(_POOL_PX / pebble_px)
        grid = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), axis=-1).reshape(-1, 2)
        seeds = (grid + 0.5 + rng.uniform(-0.48, 0.48, grid.shape)) * (_POOL_PX / steps) % _POOL_PX
        near, _ = cKDTree(seeds, boxsize=_POOL_PX).query(pixels, k=2)
        crease = ((near[:, 1] - near[:, 0]) / pebble_px).reshape(_POOL_PX, _POOL_PX)
        relief = ndimage.gaussian_filter(1 - np.exp(-4.0 * crease), 0.6, mode="wrap")
        reliefs.append((relief / relief.max()).astype(np.float32))
    white = rng.standard_normal((_POOL_PX, _POOL_PX))
    smooth = ndimage.gaussian_filter(white, 14, mode="wrap") + 0.15 * ndimage.gaussian_filter(white, 3, mode="wrap")
    return reliefs, (smooth / smooth.std()).astype(np.float32)


def _window(pool: Field, rng: Rng) -> Field:
    """A random cut `[176, 176]` of a pool, mirrored at random."""
    top, left = rng.integers(0, _POOL_PX - CANVAS_PX, 2)
    cut = pool[top : top + CANVAS_PX, left : left + CANVAS_PX]
    return cut[:: 1 - 2 * int(rng.integers(2)), :: 1 - 2 * int(rng.integers(2))]


@dataclass(frozen=True)
class Lit:
    """A part as a camera needs it: colour of the surface `[176, 176, 3]`, slopes and gloss `[176, 176]`."""

    surface: Field
    slope_x: Field
    slope_y: Field
    gloss: Field


def make_part(state: str, rng: Rng) -> Lit:
    """One part in one state: a key of `STATES`."""
    reliefs, smooth = _pools()
    waves = _window(smooth, rng)
    height = _window(reliefs[rng.integers(len(reliefs))], rng) * rng.uniform(0.75, 1.1) + 0.5 * _window(smooth, rng)
    colour = _HIDES[rng.integers(len(_HIDES))] * rng.uniform(0.88, 1.15, 3).astype(np.float32)
    height = height.astype(np.float32)
    albedo = (1 + 0.05 * waves - 0.10 * (1 - np.clip(height, 0, 1))).astype(np.float32)
    zeros = np.zeros_like(height)
    part = Part(
        height, albedo, np.full_like(height, 0.12), zeros, np.ones((CANVAS_PX, CANVAS_PX, 3), np.float32), colour
    )
    if rng.random() < 0.6:
        _seam(part, rng)
    for _ in range(int(rng.integers(0, 4))):
        _pore(part, rng)
    if rng.random() < 0.35:
        _vein(part, rng)
    STATES[state](part, rng)
    paint = part.paint[..., None]
    surface = (part.albedo[..., None] * part.colour * (1 - paint) + part.paint_colour * paint) * _WARM
    slope_y, slope_x = (np.gradient(part.height, axis=axis).astype(np.float32) for axis in (0, 1))
    return Lit(surface.astype(np.float32), slope_x, slope_y, part.gloss)


def photograph(part: Lit, rng: Rng, side_px: int) -> Image.Image:
    """One view of a part: light, turn, crop, lens and sensor; RGB of `side_px` a side."""
    bearing = rng.uniform(-2.5, -0.6)
    facing = part.slope_x * np.float32(np.cos(bearing)) + part.slope_y * np.float32(np.sin(bearing))
    light = np.clip(1 - np.float32(rng.uniform(0.75, 1.0)) * facing, 0.25, 1.9) * np.float32(rng.uniform(0.85, 1.12))
    shine = 0.45 * part.gloss * np.clip(part.gloss - 0.15 - 3 * facing, 0, 1.2) ** 2
    scene = part.surface * light[..., None]
    scene += shine[..., None]
    flat = Image.fromarray(np.minimum(scene * 255, 255).astype(np.uint8)).point(_GAMMA)
    return _develop(_crop(flat, rng, side_px), rng)


def _crop(scene: Image.Image, rng: Rng, side_px: int) -> Image.Image:
    """Turns by a few degrees, shifts and zooms a little, and cuts the picture out."""
    angle, zoom = rng.uniform(-0.12, 0.12), rng.uniform(0.94, 1.06) * 128 / side_px
    cos, sin, half = np.cos(angle) * zoom, np.sin(angle) * zoom, side_px / 2
    dx, dy = rng.uniform(-9, 9, 2) + _CENTRE
    rule = (cos, -sin, dx - half * (cos - sin), sin, cos, dy - half * (sin + cos))
    return scene.transform((side_px, side_px), Image.Transform.AFFINE, rule, Image.Resampling.BILINEAR)


def _develop(picture: Image.Image, rng: Rng) -> Image.Image:
    """Lens shading with its centre a little off, uneven lamp, sensor noise."""
    side = picture.size[0]
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    off_x, off_y = rng.normal(0, 0.12, 2)
    lamp = rng.normal(0, 0.07)
    falloff = 1 - rng.uniform(0.16, 0.30) * ((ramp[None, :] - off_x) ** 2 + (ramp[:, None] - off_y) ** 2) * 0.6
    gain = (falloff * (1.04 + lamp * ramp[None, :])).astype(np.float32)
    noise = np.float32(rng.uniform(1.5, 4.0)) * rng.standard_normal((side, side), dtype=np.float32)
    pixels = np.asarray(picture) * gain[..., None] + noise[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _seam(part: Part, rng: Rng) -> None:
    """One or two rows of stitches in a groove, roughly along an axis."""
    angle = rng.normal(0, 0.08) + rng.choice([0.0, np.pi / 2])
    offset = rng.choice([-1, 1]) * rng.uniform(26, 54)
    thread = _THREADS[rng.integers(len(_THREADS))]
    pitch, phase = rng.uniform(9, 13), rng.uniform(0, 10)
    for row in range(int(rng.integers(1, 3))):
        along = (_X - _CENTRE) * np.cos(angle) + (_Y - _CENTRE) * np.sin(angle)
        across = (_Y - _CENTRE) * np.cos(angle) - (_X - _CENTRE) * np.sin(angle) - offset - 9 * row
        part.height -= 1.4 * np.exp(-((across / 3.0) ** 2))
        place = (along + phase) % pitch - pitch / 2
        tilt = across - 0.12 * place
        thread_here = np.clip(1.9 - np.abs(tilt), 0, 1) * np.clip(pitch * 0.38 - np.abs(place) + 0.5, 0, 1)
        part.height += thread_here * 1.6
        hole = np.exp(-((across / 1.3) ** 2) - ((np.abs(place) - pitch / 2) / 1.3) ** 2)
        part.albedo *= 1 - 0.55 * hole
        _cover(part, thread_here, thread)


def _cover(part: Part, coverage: Field, colour: Field) -> None:
    here = coverage > part.paint
    part.paint_colour[here] = colour
    np.maximum(part.paint, coverage, out=part.paint)


def _pore(part: Part, rng: Rng) -> None:
    """A natural pore: fainter and smaller than anything counted as a defect."""
    x, y = rng.uniform(20, CANVAS_PX - 20, 2)
    part.albedo *= 1 - rng.uniform(0.10, 0.22) * np.exp(-(((_X - x) ** 2 + (_Y - y) ** 2) / rng.uniform(1.2, 2.5)))


def _vein(part: Part, rng: Rng) -> None:
    """A natural vein: a broad, faint change of tone, without relief."""
    distance, _ = _bent_line(rng, _CENTRE, _CENTRE, 60.0)
    part.albedo *= 1 + rng.choice([-1, 1]) * rng.uniform(0.04, 0.08) * np.exp(-((distance / rng.uniform(5, 9)) ** 2))


def _spot(rng: Rng) -> tuple[float, float]:
    """Where a defect sits: near enough to the middle to be in every view."""
    x, y = rng.uniform(-38, 38, 2) + _CENTRE
    return float(x), float(y)


def _bent_line(rng: Rng, x: float, y: float, reach: float) -> tuple[Field, Field]:
    """Signed distance in px from a slightly bent line near (x, y), and position along it, -1 to 1 at its ends."""
    angle = rng.uniform(0, np.pi)
    along = ((_X - x) * np.cos(angle) + (_Y - y) * np.sin(angle)) / reach
    bend = rng.normal(0, 0.12) * reach
    wiggle = rng.uniform(0, 1.2) * np.sin(along * rng.uniform(3, 7) + rng.uniform(0, 6))
    across = (_Y - y) * np.cos(angle) - (_X - x) * np.sin(angle) - bend * (along**2 - 0.3) - wiggle
    return across.astype(np.float32), along.astype(np.float32)


def _good(part: Part, rng: Rng) -> None:
    """Nothing is wrong."""


def _cut(part: Part, rng: Rng) -> None:
    """A clean slit: dark and narrow, pointed at both ends, with one lip raised."""
    strength = rng.uniform(0.6, 1.0)
    across, along = _bent_line(rng, *_spot(rng), rng.uniform(13, 26))
    width = rng.uniform(1.0, 1.9) * np.sqrt(np.clip(1 - along**2, 0, 1))
    slit = np.clip(width + 0.5 - np.abs(across), 0, 1) * (np.abs(along) < 1)
    part.albedo *= 1 - (0.55 + 0.35 * strength) * slit
    part.paint *= 1 - slit
    part.height += 1.3 * strength * np.exp(-(((across - 2.5) / 1.8) ** 2)) * np.clip(1 - along**2, 0, 1)


def _fold(part: Part, rng: Rng) -> None:
    """A crease pressed into the hide: long and broad, lit on one flank and dark on the other, the grain kept."""
    strength = rng.uniform(0.6, 1.0)
    across, along = _bent_line(rng, *_spot(rng), rng.uniform(36, 70))
    fade = np.clip(1.15 - np.abs(along), 0, 1) ** 0.5
    breadth = rng.uniform(4.0, 6.0)
    ridge = np.exp(-((across / breadth) ** 2)) * fade
    part.height += rng.choice([-1.0, 1.0]) * (1.6 + 2.2 * strength) * ridge
    line = np.exp(-((across / 1.9) ** 2)) * fade
    part.albedo *= 1 + 0.16 * strength * ridge - (0.42 + 0.25 * strength) * line


def _glue(part: Part, rng: Rng) -> None:
    """Dried glue: pale, smooth and shiny smears and drops under which the grain disappears."""
    strength = rng.uniform(0.55, 1.0)
    x, y = _spot(rng)
    cover = np.zeros_like(part.height)
    for _ in range(int(rng.integers(1, 4))):
        radius, squash, turn = rng.uniform(5, 11), rng.uniform(0.6, 1.5), rng.uniform(0, np.pi)
        dx, dy = _X - x, _Y - y
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        ragged = 1 + 0.14 * np.sin(np.arctan2(v, u) * int(rng.integers(2, 5)) + rng.uniform(0, 6))
        cover = np.maximum(cover, np.clip((1 - np.hypot(u / squash, v * squash) / (radius * ragged)) * 2.5, 0, 1))
        x, y = x + rng.normal(0, 9), y + rng.normal(0, 9)
    part.height += cover * (0.9 + 0.6 * np.sqrt(cover) - part.height * 0.75)
    part.gloss += 0.65 * strength * cover
    film = (0.22 + 0.38 * strength) * cover
    part.paint_colour += (np.array([0.80, 0.78, 0.70], np.float32) - part.paint_colour) * (cover > 0.02)[..., None]
    np.maximum(part.paint, film, out=part.paint)


def _poke(part: Part, rng: Rng) -> None:
    """Holes from a pointed tool: small, round and dark, with a pushed-up rim; one, or a few side by side."""
    strength = rng.uniform(0.6, 1.0)
    x, y = _spot(rng)
    for _ in range(int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))):
        radius = rng.uniform(3.2, 5.0)
        distance = np.hypot(_X - x, _Y - y)
        hole = np.clip(radius + 0.5 - distance, 0, 1)
        part.albedo *= 1 - (0.6 + 0.3 * strength) * hole
        part.paint *= 1 - hole
        part.height += 1.5 * strength * np.exp(-(((distance - radius - 2) / 1.7) ** 2)) - part.height * hole
        turn = rng.uniform(0, 2 * np.pi)
        x, y = x + rng.uniform(10, 16) * np.cos(turn), y + rng.uniform(10, 16) * np.sin(turn)


STATES: dict[str, Callable[[Part, Rng], None]] = {
    "good": _good,
    "cut": _cut,
    "fold": _fold,
    "glue": _glue,
    "poke": _poke,
}
