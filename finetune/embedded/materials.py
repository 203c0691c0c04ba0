"""Procedural materials: grey textures of 128 x 128 pixels, each a pure function of a random generator.

Smooth noise and crystal grains are cut from pools that are computed once per process from fixed seeds: filtering
fresh noise for every image would cost more time than training on it.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Grey = NDArray[np.float32]
Rng = np.random.Generator

SIDE = 128
_POOL_SIDE = 512
_YY, _XX = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE


@lru_cache(maxsize=1)
def noise_pool() -> dict[str, Grey]:
    """Tileable noise of unit variance, `[512, 512]` each: power-law spectra and directional streaks."""
    rng = np.random.default_rng(20_240_117)
    freq_y = np.fft.fftfreq(_POOL_SIDE)[:, None]
    freq_x = np.fft.rfftfreq(_POOL_SIDE)[None, :]
    filters = {
        "white": np.ones((_POOL_SIDE, freq_x.shape[1])),
        "soft": 1 / (np.hypot(freq_y, freq_x) + 0.01),
        "cloud": 1 / (np.hypot(freq_y, freq_x) + 0.008) ** 1.7,
        "smooth": 1 / (np.hypot(freq_y, freq_x) + 0.006) ** 3.0,
        "streak": np.exp(-((freq_x / 0.012) ** 2)) / (np.abs(freq_y) + 0.05) ** 0.5,
        "fibre": np.exp(-((freq_x / 0.04) ** 2)) / (np.abs(freq_y) + 0.03) ** 0.8,
        "blotch": np.exp(-((np.hypot(freq_y, freq_x) - 0.06) ** 2) / 0.0012),
        "grain": np.exp(-((np.hypot(freq_y, freq_x) - 0.16) ** 2) / 0.004),
    }
    pool = {}
    for name, gain in filters.items():
        gain[0, 0] = 0.0
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_POOL_SIDE, _POOL_SIDE))) * gain)
        pool[name] = (field / field.std()).astype(np.float32)
    return pool


@lru_cache(maxsize=1)
def grain_pool() -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """Crystal grain maps `[256, 256]` (label of each pixel) with their boundaries."""
    rng = np.random.default_rng(20_240_118)
    pixels = np.indices((256, 256)).reshape(2, -1).T.astype(np.float64)
    maps = []
    for grains in (20, 35, 60, 60, 100, 100, 160, 160, 260, 260, 400, 600):
        stretch = np.array([1.0, rng.uniform(0.35, 1.0)])
        warp = 3.0 * np.stack([cut(noise_pool()["cloud"], rng, 256), cut(noise_pool()["cloud"], rng, 256)], axis=-1)
        _, label = cKDTree(rng.uniform(0, 256, (grains, 2)) * stretch).query((pixels + warp.reshape(-1, 2)) * stretch)
        label = label.reshape(256, 256).astype(np.int32)
        edge = (label != np.roll(label, 1, 0)) | (label != np.roll(label, 1, 1))
        maps.append((label, edge))
    return maps


def cut(field: Grey, rng: Rng, side: int = SIDE, turn: bool = True) -> Grey:
    """A random window `[side, side]` of a pool field, flipped, and transposed too where `turn` allows."""
    top, left = rng.integers(0, field.shape[0] - side + 1, 2)
    flip_y, flip_x, transpose = rng.integers(0, 2, 3)
    window = field[top : top + side, left : left + side][:: 1 - 2 * flip_y, :: 1 - 2 * flip_x]
    return window.T if turn and transpose else window


def noise(name: str, rng: Rng, turn: bool = True) -> Grey:
    """A random window of the noise called `name`."""
    return cut(noise_pool()[name], rng, SIDE, turn)


def grains(rng: Rng, contrast: float, boundary: float) -> Grey:
    """Crystal grains around 0: a grey level each, with boundaries darker by `boundary`."""
    pool = grain_pool()
    label, edge = pool[rng.integers(len(pool))]
    top, left = rng.integers(0, 129, 2)
    levels = rng.normal(0.0, contrast, 600).astype(np.float32)
    window = (slice(top, top + SIDE), slice(left, left + SIDE))
    field = levels[label[window]] - boundary * edge[window]
    return field.T if rng.random() < 0.5 else field


def _solar_cell(rng: Rng) -> Grey:
    field = np.full((SIDE, SIDE), rng.uniform(0.3, 0.85), np.float32)
    fine = rng.random()
    field += rng.uniform(0.0, 0.03) * noise("white", rng) + rng.uniform(0.0, 0.04) * noise("smooth", rng)
    if fine < 0.55:  # multicrystalline: dislocation clouds and faint grains are texture, not defects
        clouds = noise(("cloud", "blotch", "grain")[rng.integers(3)], rng) + 0.5 * noise("soft", rng)
        field -= rng.uniform(0.05, 0.25) * np.clip(clouds - rng.uniform(0.2, 1.4), 0, 1.2)
        if rng.random() < 0.6:
            field += grains(rng, rng.uniform(0.005, 0.05), rng.uniform(0.0, 0.04))
    elif fine < 0.7:
        field += rng.uniform(0.02, 0.05) * noise("grain", rng)
    bars = int(rng.integers(2, 6))
    phase = rng.uniform(-0.03, 0.03)
    wave = np.cos(2 * np.pi * bars * (_YY - phase))
    field += rng.uniform(-0.02, 0.05) * wave
    if rng.random() < 0.5:
        field *= 1 - rng.uniform(0.0, 0.08) * (np.sin(2 * np.pi * _XX * rng.uniform(20, 60)) > 0.3)
    _busbars(field, rng, bars, phase)
    edge = np.minimum(np.minimum(_XX, 1 - _XX), np.minimum(_YY, 1 - _YY))
    corner = np.minimum(_XX, 1 - _XX) + np.minimum(_YY, 1 - _YY)
    outside = edge < rng.choice([0.0, 0.008, 0.02, 0.03])
    if rng.random() < 0.55:
        outside = outside | (corner < rng.uniform(0.06, 0.2))
    field[outside] = rng.uniform(0.05, 0.25)
    return field.T if rng.random() < 0.15 else field


def _busbars(field: Grey, rng: Rng, bars: int, phase: float) -> None:
    depth = rng.uniform(0.3, 0.9)
    thick = int(rng.integers(1, 4))
    dash = rng.uniform(0.05, 0.12)
    gaps = ((_XX[0] + rng.uniform(0, dash)) % dash < dash * rng.uniform(0.5, 0.9)) if rng.random() < 0.4 else None
    inset = int(rng.integers(0, 8))
    for bar in range(bars):
        row = int(((bar + 0.5) / bars + phase) * SIDE)
        run = np.ones(SIDE, bool) if gaps is None else gaps.copy()
        run[:inset] = run[SIDE - inset :] = False
        field[row : row + thick, run] *= 1 - depth
        if gaps is not None:
            field[row, inset : SIDE - inset] *= 1 - depth * 0.5


def _crystal_wafer(rng: Rng) -> Grey:
    field = rng.uniform(0.35, 0.65) + grains(rng, rng.uniform(0.05, 0.14), rng.uniform(0.0, 0.15))
    return np.asarray(field + rng.uniform(0.0, 0.04) * noise("soft", rng), np.float32)


def _brushed_metal(rng: Rng) -> Grey:
    streak = noise_pool()["streak" if rng.random() < 0.7 else "fibre"]
    field = rng.uniform(0.45, 0.7) + rng.uniform(0.04, 0.1) * cut(streak, rng, turn=False)
    glint = rng.uniform(0, 0.15) * np.exp(-(((_YY - rng.uniform(0, 1)) / rng.uniform(0.15, 0.4)) ** 2))
    field = (field + glint + 0.015 * noise("white", rng)).astype(np.float32)
    return np.asarray(field.T if rng.random() < 0.5 else field)


def _rolled_steel(rng: Rng) -> Grey:
    field = rng.uniform(0.25, 0.5) + rng.uniform(0.02, 0.06) * noise("cloud", rng)
    field += rng.uniform(0.03, 0.07) * noise("soft", rng)
    lines = noise_pool()["white"][rng.integers(0, 512)][:SIDE]
    field += rng.uniform(0.02, 0.05) * ndimage.uniform_filter1d(lines, int(rng.integers(2, 7)))[None, :]
    return np.asarray(field, np.float32)


def _cloth(rng: Rng) -> Grey:
    angle, period = rng.uniform(0, np.pi), rng.uniform(3.0, 8.0)
    along = (_XX * np.cos(angle) + _YY * np.sin(angle)) * SIDE + 0.5 * noise("smooth", rng)
    across = (_YY * np.cos(angle) - _XX * np.sin(angle)) * SIDE + 0.5 * noise("smooth", rng)
    weave = np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * across / (period * rng.uniform(0.8, 1.25)))
    field = rng.uniform(0.35, 0.7) + rng.uniform(0.06, 0.15) * weave + rng.uniform(0.01, 0.04) * noise("white", rng)
    return np.asarray(field, np.float32)


def _wood(rng: Rng) -> Grey:
    bend = _YY + rng.uniform(0.02, 0.08) * noise("smooth", rng) + rng.uniform(0, 0.2) * (_XX - 0.5) ** 2
    rings = np.sin(2 * np.pi * rng.uniform(4, 12) * bend)
    field = rng.uniform(0.4, 0.65) + rng.uniform(0.05, 0.11) * rings
    field += rng.uniform(0.02, 0.06) * cut(noise_pool()["fibre"], rng, turn=False)
    return np.asarray(field.T if rng.random() < 0.5 else field, np.float32)


def _concrete(rng: Rng) -> Grey:
    field = rng.uniform(0.4, 0.7) + rng.uniform(0.05, 0.1) * noise("cloud", rng)
    field += rng.uniform(0.02, 0.06) * noise("white", rng)
    pits = np.clip(noise("grain", rng) - rng.uniform(1.2, 2.0), 0, 1)
    return np.asarray(field - rng.uniform(0.05, 0.25) * pits, np.float32)


def _painted_panel(rng: Rng) -> Grey:
    field = rng.uniform(0.3, 0.8) + rng.uniform(0.0, 0.04) * noise("smooth", rng)
    return np.asarray(field + rng.uniform(0.0, 0.012) * noise("blotch", rng), np.float32)


def _ceramic_tile(rng: Rng) -> Grey:
    field = rng.uniform(0.5, 0.85) + rng.uniform(0.0, 0.03) * noise("soft", rng)
    tiles, wide = rng.uniform(1.5, 4.5), rng.uniform(0.012, 0.03)
    shift_y, shift_x = rng.uniform(0, 1, 2)
    cell_y, cell_x = (_YY * tiles + shift_y) % 1, (_XX * tiles + shift_x) % 1
    grout = (cell_y < wide * tiles) | (cell_x < wide * tiles)
    gloss = rng.uniform(0.0, 0.08) * (cell_x + cell_y - 1)
    step = rng.uniform(0.12, 0.35) * rng.choice([-1.0, 1.0], p=[0.75, 0.25])
    return np.asarray(np.where(grout, field + step + 0.03 * noise("white", rng), field + gloss), np.float32)


# The order is the numbering used by the training heads: append only.
MATERIALS: dict[str, Callable[[Rng], Grey]] = {
    "solar cell": _solar_cell,
    "crystal wafer": _crystal_wafer,
    "brushed metal": _brushed_metal,
    "rolled steel": _rolled_steel,
    "cloth": _cloth,
    "wood": _wood,
    "concrete": _concrete,
    "painted panel": _painted_panel,
    "ceramic tile": _ceramic_tile,
}
