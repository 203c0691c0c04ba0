"""Pictures that look alike without being copies, in the manner of solar cells, and copies of them of nine kinds."""

import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter


def cells(count, side=128, sisters=0.2, seed=0):
    """Cells of one camera: the same frame, bars and vignette, each with clouds of its own.

    A share of them are sisters, as wafers cut from one block are: the clouds of the cell before, a little changed.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / (side - 1) - 0.5
    frame = 150 - 60 * (x**2 + y**2)
    for place in (-0.25, 0.0, 0.25):
        frame -= 80 * np.exp(-(((y - place) / 0.012) ** 2))
    found, clouds = [], np.zeros((side, side))
    for number in range(count):
        sister = number > 0 and rng.random() < sisters
        fresh = _clouds(rng, side)
        clouds = 0.9 * clouds + 0.35 * fresh if sister else fresh
        grey = frame + clouds + rng.normal(0, 1.0, (side, side)) + rng.uniform(-10, 10)
        for _ in range(rng.integers(0, 3)):  # cracks and dead fingers: what makes a cell defective
            left, top = rng.integers(5, side - 25, 2)
            grey[top : top + 3, left : left + 20] -= 40
        found.append(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)))
    return found


def _clouds(rng, side):
    fine, coarse = (gaussian_filter(rng.normal(0, 1, (side, side)), sigma) for sigma in (3, 6))
    strength = rng.uniform(0.6, 1.6)  # as strong as in the ELPV set: 7 grey levels in the band that is compared
    return -strength * (15 * np.clip(fine / fine.std(), 0, None) + 10 * coarse / coarse.std())


def recompressed(image, rng):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(30, 70)))
    return Image.open(io.BytesIO(buffer.getvalue())).convert(image.mode)


def blurred(image, rng):
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.8, 1.6))))


def brightened(image, rng):
    values = np.asarray(image, dtype=float) + rng.choice([-1, 1]) * rng.uniform(15, 40)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def retaken(image, rng):
    """Moved by up to two pixels, slightly blurred, other contrast and brightness, noise."""
    across, down = (int(step) for step in rng.integers(-2, 3, 2))
    values = np.pad(np.asarray(image), ((2, 2), (2, 2), *[(0, 0)] * (np.asarray(image).ndim - 2)), "edge")
    height, width = np.asarray(image).shape[:2]
    moved = Image.fromarray(values[2 + down : 2 + down + height, 2 + across : 2 + across + width])
    soft = np.asarray(moved.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.0)))), dtype=float)
    seen = (soft - 128) * rng.uniform(0.8, 1.2) + 128 + rng.uniform(-20, 20) + rng.normal(0, 5, soft.shape)
    return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))


def cropped(image, rng):
    width, height = image.size
    new = round(width * 0.95), round(height * 0.95)
    left, top = (int(rng.integers(0, old - cut + 1)) for old, cut in zip(image.size, new, strict=True))
    return image.crop((left, top, left + new[0], top + new[1]))


def mirrored(image, rng):
    return ImageOps.mirror(image)


def scaled(image, rng):
    share = rng.uniform(0.6, 1.5)
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BICUBIC)


KINDS = {
    "re-compressed": recompressed,
    "blurred": blurred,
    "brightness-shifted": brightened,
    "mirrored": mirrored,
    "scaled": scaled,
    "cropped by 5 %": cropped,
    "taken again": retaken,
}
