"""Procedural defects: each draws one instance onto a grey image and returns the pixels it touched.

Shapes are drawn with Pillow at twice the size and reduced, which gives smooth edges. `strength` runs from 0.3
(subtle) to 1 (plain). All coordinates are pixels of the 128 x 128 image.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from finetune.embedded.materials import SIDE, Grey, Rng, noise

Mask = NDArray[np.bool_]
Points = list[tuple[float, float]]
_ROW, _COLUMN = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def _lines(strokes: list[tuple[Points, float]]) -> Grey:
    """Coverage 0-1 `[128, 128]` of polylines given as (points (x, y), width)."""
    canvas = Image.new("L", (2 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(canvas)
    for points, width in strokes:
        pen.line([(2 * x, 2 * y) for x, y in points], fill=255, width=max(1, round(2 * width)))
    return np.asarray(canvas.reduce(2), np.float32) / 255.0


def _polygon(points: Points) -> Grey:
    canvas = Image.new("L", (2 * SIDE, 2 * SIDE))
    ImageDraw.Draw(canvas).polygon([(2 * x, 2 * y) for x, y in points], fill=255)
    return np.asarray(canvas.reduce(2), np.float32) / 255.0


def _walk(rng: Rng, x: float, y: float, angle: float, length: float, jitter: float) -> Points:
    points = [(x, y)]
    step = rng.uniform(3.0, 7.0)
    heading = angle
    for _ in range(max(2, int(length / step))):
        heading = angle + 0.5 * (heading - angle) + rng.normal(0.0, jitter)
        x, y = x + step * np.cos(heading), y + step * np.sin(heading)
        points.append((x, y))
    return points


def _crack(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """Dark, thin: straight, jagged or branching."""
    angle = rng.uniform(0, 2 * np.pi)
    length = size * rng.uniform(2.0, 4.5)
    jitter = rng.choice([0.03, 0.35, 0.6], p=[0.3, 0.4, 0.3])
    x, y = x - 0.5 * length * np.cos(angle), y - 0.5 * length * np.sin(angle)
    width = rng.uniform(0.7, 1.7)
    trunk = _walk(rng, x, y, angle, length, jitter)
    strokes = [(trunk, width)]
    branches = int(rng.choice([0, 1, 2, 3, 6], p=[0.4, 0.2, 0.15, 0.15, 0.1]))
    for _ in range(branches):
        fork = trunk[rng.integers(len(trunk))]
        side = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        strokes.append((_walk(rng, *fork, side, length * rng.uniform(0.2, 0.6), jitter), width * 0.8))
    cover = _lines(strokes)
    field *= 1 - cover * (0.25 + 0.6 * strength)
    return cover > 0.3


def _scratch(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """Bright, smooth and clean: one stroke or a few parallel ones, often with a dark flank."""
    angle = rng.uniform(0, 2 * np.pi)
    length, bend = size * rng.uniform(2.0, 4.5), rng.normal(0, 0.25)
    along = np.linspace(-0.5, 0.5, 9) * length
    sag = bend * length * (0.25 - (along / length) ** 2)
    width = rng.uniform(0.7, 1.6)
    strokes = []
    for lane in range(int(rng.choice([1, 2, 3], p=[0.65, 0.2, 0.15]))):
        off = sag + lane * rng.uniform(3.0, 5.0)
        xs, ys = x + along * np.cos(angle) - off * np.sin(angle), y + along * np.sin(angle) + off * np.cos(angle)
        strokes.append((list(zip(xs.tolist(), ys.tolist(), strict=True)), width))
    cover = _lines(strokes)
    if rng.random() < 0.5:
        field *= 1 - 0.3 * strength * np.roll(cover, (1, 1), (0, 1))
    field += cover * (0.12 + 0.3 * strength)
    return cover > 0.3


def _disc(x: float, y: float, radius: float, squash: float, angle: float) -> Grey:
    """Signed distance-like field `[128, 128]`: below 1 inside an ellipse of mean radius `radius`."""
    dx, dy = _COLUMN - x, _ROW - y
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return np.asarray(np.hypot(u / (radius * squash), v * squash / radius))


def _spot(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """A cluster of small bright dots."""
    cover = np.zeros_like(field)
    reach = 0.35 * size
    for _ in range(int(rng.integers(1, 6))):
        px, py = x + rng.normal(0, reach), y + rng.normal(0, reach)
        radius = rng.uniform(1.5, 3.0)
        cover = np.maximum(cover, np.clip((1.3 - _disc(px, py, radius, 1.0, 0.0)) * radius, 0, 1))
    field += cover * (0.15 + 0.35 * strength)
    return cover > 0.5


def _hole(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """Round, nearly black, with a sharp edge and sometimes a lit rim."""
    radius = 0.45 * size
    shape = _disc(x, y, radius, rng.uniform(1.0, 1.2), rng.uniform(0, np.pi))
    cover = np.clip((1 - shape) * radius + 0.5, 0, 1)
    if rng.random() < 0.5:
        rim = np.exp(-(((shape - 1.1) * radius / 1.2) ** 2)) * ((_COLUMN - x) + (_ROW - y) > 0)
        field += 0.2 * strength * rim
    field *= 1 - cover * (0.7 + 0.3 * strength)
    return np.asarray(cover > 0.5)


def _stain(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """A dark patch with a soft, irregular outline through which the material still shows."""
    shape = _disc(x, y, 0.8 * size, rng.uniform(1.0, 1.35), rng.uniform(0, np.pi)) + 0.12 * noise("smooth", rng)
    cover = np.clip((1.1 - shape) * rng.uniform(1.5, 4.0), 0, 1)
    field *= 1 - cover * (0.15 + 0.35 * strength)
    return cover > 0.3


def _dent(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """A dip or bump: one side lit, the other in shade, the material unchanged."""
    radius = 0.75 * size
    shape = _disc(x, y, radius, rng.uniform(1.0, 1.3), rng.uniform(0, np.pi))
    light = rng.uniform(0, 2 * np.pi)
    slope = ((_COLUMN - x) * np.cos(light) + (_ROW - y) * np.sin(light)) / radius
    field += (0.35 + 0.5 * strength) * slope * np.exp(-((shape / 0.62) ** 2))
    return shape < 0.95


def _chip(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """A piece broken out of the nearest edge of the image; what lies behind is flat."""
    gaps = [x, SIDE - x, y, SIDE - y]
    side = int(np.argmin(gaps))
    half, deep = size * rng.uniform(0.7, 1.3), size * rng.uniform(0.7, 1.3)
    steps = np.linspace(-half, half, 8)
    depths = deep * (1 - (steps / half) ** 2) ** rng.uniform(0.4, 1.0) * rng.uniform(0.75, 1.1, 8)
    rims: Points = [
        (float(s), float(d) if 0 < i < 7 else -2.0) for i, (s, d) in enumerate(zip(steps, depths, strict=True))
    ]
    place: list[Callable[[float, float], tuple[float, float]]] = [
        lambda s, d: (d, y + s),
        lambda s, d: (SIDE - d, y + s),
        lambda s, d: (x + s, d),
        lambda s, d: (x + s, SIDE - d),
    ]
    cover = _polygon([place[side](s, d) for s, d in rims])
    behind = rng.uniform(0.0, 0.15) if rng.random() < 0.75 else rng.uniform(0.85, 1.0)
    field += cover * (behind - field) * (0.8 + 0.2 * strength)
    return cover > 0.5


def _dark_area(field: Grey, rng: Rng, x: float, y: float, size: float, strength: float) -> Mask:
    """A region with straight edges that is evenly darker: a box, a wedge or a few narrow bars."""
    wide, tall = size * rng.uniform(0.5, 1.4), size * rng.uniform(0.5, 1.4)
    form = rng.random()
    if form < 0.35:
        cover = _polygon([(x - wide, y - tall), (x + wide, y - tall), (x + wide, y + tall), (x - wide, y + tall)])
    elif form < 0.6:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 3) + np.array([0, 2.1, 4.2]))
        cover = _polygon([(x + 1.3 * wide * np.cos(a), y + 1.3 * tall * np.sin(a)) for a in angles])
    else:
        bars = [x + i * rng.uniform(4, 8) for i in range(int(rng.integers(1, 4)))]
        spans = [tall * rng.uniform(0.7, 1.4) for _ in bars]
        width = rng.uniform(1.5, 4.0)
        cover = _lines([([(b, y - s), (b, y + s)], width) for b, s in zip(bars, spans, strict=True)])
        cover = cover.T if rng.random() < 0.15 else cover
    field *= 1 - cover * (0.2 + 0.5 * strength)
    return cover > 0.5


# The order is the numbering used by masks and heads (0 is "none"): append only.
DEFECTS: dict[str, Callable[[Grey, Rng, float, float, float, float], Mask]] = {
    "crack": _crack,
    "scratch": _scratch,
    "spot": _spot,
    "hole": _hole,
    "stain": _stain,
    "dent": _dent,
    "chip": _chip,
    "dark area": _dark_area,
}
