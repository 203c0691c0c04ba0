"""Random changes to training images, each drawn from a generator keyed by (seed, epoch, sample), never a global one."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from PIL import Image

Augmentation = Callable[[Image.Image, np.random.Generator], Image.Image]

_FLIPS: Final = (
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)
"""The eight symmetries of a square."""


def generator(seed: int, epoch: int, sample: str) -> np.random.Generator:
    """The random stream of one sample in one epoch; the same in every process, on every machine, at every resume."""
    digest = hashlib.sha256(f"{seed}\0{epoch}\0{sample}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def augment(name: str, images: Sequence[Image.Image], random: np.random.Generator) -> list[Image.Image]:
    """Applies a named set to the images of one example, in order."""
    return [AUGMENTATIONS[name](image, random) for image in images]


def none(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Leaves the image as it is."""
    return image


def flips(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """One of the eight symmetries: mirrored, turned by 90 degrees, or both. Right where up and left mean nothing."""
    chosen = _FLIPS[random.integers(len(_FLIPS))]
    return image if chosen is None else image.transpose(chosen)


def inspection(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """What differs between two takes of one part: orientation as in `flips`, and all of `upright`."""
    return upright(flips(image, random), random)


def upright(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A small misalignment, light and sensor noise, where up and left have a meaning: radiographs, photographs.

    Shift up to 4 %, scale 0.92 to 1.08, rotation up to 6 degrees (edges are mirrored in), brightness and contrast
    within 15 %, gamma 0.8 to 1.25, Gaussian noise up to 1.2 % of the range.
    """
    return _light(_misalign(image, random), random)


def _misalign(image: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = image.size
    angle, scale = np.deg2rad(random.uniform(-6, 6)), random.uniform(0.92, 1.08)
    shift_x, shift_y = random.uniform(-0.04, 0.04, 2) * (width, height)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    margin = int(0.2 * max(width, height)) + 1
    middle_x, middle_y = width / 2, height / 2
    offset_x = margin + middle_x - cos * (middle_x + shift_x) - sin * (middle_y + shift_y)
    offset_y = margin + middle_y + sin * (middle_x + shift_x) - cos * (middle_y + shift_y)
    wide = _mirrored(image, margin)
    matrix = (float(cos), float(sin), float(offset_x), float(-sin), float(cos), float(offset_y))
    return wide.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _mirrored(image: Image.Image, margin: int) -> Image.Image:
    """The image with its mirrored edges around it, `margin` pixels wide."""
    pixels = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    return Image.fromarray(pixels)


def _light(image: Image.Image, random: np.random.Generator) -> Image.Image:
    brightness, contrast = random.uniform(-0.15, 0.15), random.uniform(0.85, 1.15)
    gamma, sigma = float(np.exp(random.uniform(-0.223, 0.223))), random.uniform(0, 3.0)
    levels = np.linspace(0.0, 1.0, 256) ** gamma
    table = np.clip((levels - 0.5) * contrast + 0.5 + brightness, 0, 1) * 255
    pixels = table.astype(np.float32)[np.asarray(image)]
    noise = random.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None] * np.float32(sigma)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


AUGMENTATIONS: Final[dict[str, Augmentation]] = {
    "none": none,
    "flips": flips,
    "inspection": inspection,
    "upright": upright,
}
