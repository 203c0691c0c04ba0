"""Are two small grey pictures one photograph? Aligned, blurred alike, brightness fitted: what remains unexplained?

One picture of a pair is modelled as the other one, sharp and blurred, moved and stretched a little, times a contrast
plus a brightness: a least-squares fit. The share of its structure that the fit leaves over is the distance of the pair.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from finetune.data.duplicates.fingerprint import SIDE, Values

_EVEN_PX = 1.0
"""Blur that both get first: noise and compression live below it."""

_BLURS_PX = (0.7, 1.4)
_FLAT = 0.5
"""Grey levels of structure below which a picture shows nothing by which it could be known."""

_HOPELESS = 0.12
"""Distance after the first fit that no better position has been seen to bring down."""

_CENTRED = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
_LARGEST_STEP = np.array([1.5, 1.5, 0.04, 0.04], dtype=np.float32)
_FARTHEST = np.array([2.5, 2.5, 0.1, 0.1], dtype=np.float32)


@dataclass(frozen=True)
class View:
    """Which part of a picture is compared.

    Attributes:
        band_px: blur that is taken away: vignetting, and the frame that all pictures of a camera share.
        margin_px: pixels at the border that do not count; what is blurred there depends on where a copy was cut.
    """

    band_px: float
    margin_px: int


IN_PLACE = View(4.0, 2)
"""For copies that show what the original shows, to its border."""

MOVED = View(2.5, 5)
"""For copies that were cropped or taken again."""


def even(pictures: Values) -> Values:
    """Pictures `[n, 32, 32]` without what noise and compression change; what everything else here starts from."""
    return _blurred(pictures, _EVEN_PX)


def structure(evened: Values, view: View = IN_PLACE) -> Values:
    """The band of sizes `[n, 32, 32]` in which pictures are compared."""
    return evened - _blurred(evened, view.band_px)


def is_flat(bands: Values) -> NDArray[np.bool_]:
    """Which of `structure`'s pictures show next to nothing."""
    flat: NDArray[np.bool_] = _inner(bands, IN_PLACE).std(axis=1) < _FLAT
    return flat


def in_place(first: Values, second: Values) -> Values:
    """Distances `[n]` of pairs that lie on each other already.

    Args:
        first: evened pictures `[n, 32, 32]`.
        second: their partners.
    """
    one, two = structure(first), structure(second)
    found, _ = _fitted(one, two, IN_PLACE)
    near = np.flatnonzero(found < _HOPELESS)
    found[near] = np.minimum(found[near], _fitted(two[near], one[near], IN_PLACE)[0])
    return found


def moved(first: Values, second: Values, rounds: int = 4) -> Values:
    """Distances `[n]` of pairs, the first of which is moved and stretched onto the second, fit by fit."""
    target = structure(second, MOVED)
    steps = np.zeros((len(first), 4), dtype=np.float32)
    best = np.ones(len(first), dtype=np.float32)
    rest = np.arange(len(first))
    for _ in range(rounds):
        share, step = _fitted(structure(warped(first[rest], steps[rest]), MOVED), target[rest], MOVED)
        best[rest] = np.minimum(best[rest], share)
        steps[rest] = np.clip(steps[rest] + step, -_FARTHEST, _FARTHEST)
        rest = rest[best[rest] < _HOPELESS / 2]
    return best


def warped(pictures: Values, steps: Values) -> Values:
    """Pictures read at moved and stretched places: steps `[n, 4]` are right, down (pixels), wider, taller (shares)."""
    across = _CENTRED * (1 + steps[:, 2:3]) + steps[:, 0:1] + (SIDE - 1) / 2
    down = _CENTRED * (1 + steps[:, 3:4]) + steps[:, 1:2] + (SIDE - 1) / 2
    return np.asarray(_reading(down) @ pictures @ _reading(across).transpose(0, 2, 1), dtype=np.float32)


@cache
def _kernel(sigma: float) -> Values:
    """Blurring along one axis as a matrix `[32, 32]`: products of matrices are the fastest blur of small pictures."""
    kernel: Values = gaussian_filter(np.eye(SIDE, dtype=np.float32), (sigma, 0), mode="nearest")
    return kernel


def _blurred(pictures: Values, sigma: float) -> Values:
    kernel = _kernel(sigma)
    return np.asarray(kernel @ pictures @ kernel.T, dtype=np.float32)


def _reading(places: Values) -> Values:
    """Cubic interpolation (Catmull-Rom) at `places` `[n, 32]` as matrices `[n, 32, 32]`; beyond the border lies it."""
    inside = np.clip(places, 0, SIDE - 1)
    gap = np.abs(inside[:, :, None] - np.arange(-2, SIDE + 2, dtype=np.float32))
    near, far = 1 + gap * gap * (1.5 * gap - 2.5), 2 + gap * (gap * (2.5 - 0.5 * gap) - 4)
    wide = np.where(gap < 1, near, np.where(gap < 2, far, 0)).astype(np.float32)
    found = wide[:, :, 2:-2].copy()
    found[:, :, 0] += wide[:, :, :2].sum(axis=2)
    found[:, :, -1] += wide[:, :, -2:].sum(axis=2)
    return found


def _inner(pictures: Values, view: View) -> Values:
    """Pixels away from the border, `[n, pixels]`, less their mean."""
    inside = slice(view.margin_px, -view.margin_px)
    cut = pictures[:, inside, inside].reshape(len(pictures), (SIDE - 2 * view.margin_px) ** 2)
    centred: Values = cut - cut.mean(axis=1, keepdims=True)
    return centred


def _fitted(source: Values, target: Values, view: View) -> tuple[Values, Values]:
    """Unexplained share `[n]` of targets, and the step `[n, 4]` by which the sources would lie better."""
    down, across = np.gradient(source, axis=(1, 2))
    copies = [source, *(_blurred(source, sigma) for sigma in _BLURS_PX)]
    moves = [across, down, across * _CENTRED, down * _CENTRED[:, None]]
    design = np.stack([_inner(np.asarray(column), view) for column in (*copies, *moves)], axis=1)
    wanted = _inner(target, view)
    gram = design @ design.transpose(0, 2, 1)
    ridge = 1e-5 * np.trace(gram, axis1=1, axis2=2) + 1e-6
    gram += ridge[:, None, None] * np.eye(gram.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, design @ wanted[:, :, None])[:, :, 0]
    rest = wanted - (weights[:, None, :] @ design)[:, 0]
    share = (rest**2).sum(axis=1) / np.maximum((wanted**2).sum(axis=1), 1e-6)
    gain = weights[:, : len(copies)].sum(axis=1, keepdims=True)
    step = weights[:, len(copies) :] / np.where(np.abs(gain) < 0.1, np.inf, gain)
    return np.where(gain[:, 0] > 0, share, 1.0).astype(np.float32), np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
