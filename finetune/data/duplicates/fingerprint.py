"""What is kept of a picture to find its near copies: a small grey picture, coarse colours, and a perceptual hash."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""Height and width of the grey picture, as pHash takes it."""

_COLOUR_SIDE = 8
_FINE = 256
"""Pictures are averaged down to about this side before they are resampled, which costs more."""

LENGTH = SIDE * SIDE + 2 * _COLOUR_SIDE * _COLOUR_SIDE
"""Values of a sketch."""

Values = NDArray[np.float32]
Sketch = NDArray[np.float16]


def sketch(image: Image.Image) -> Sketch:
    """Luma `[32, 32]`, then blue and red difference `[8, 8]` each, in one row; 0 to 255, fractions kept."""
    factor = max(1, min(image.size) // _FINE)
    small = image.reduce(factor) if factor > 1 else image
    luma = small.convert("L").convert("F").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    _, blue, red = small.convert("YCbCr").resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX).split()
    return np.concatenate([np.asarray(band, dtype=np.float32).ravel() for band in (luma, blue, red)]).astype(np.float16)


def luma(sketches: NDArray[np.float16]) -> Values:
    """The grey pictures `[n, 32, 32]` of sketches `[n, LENGTH]`."""
    return sketches[:, : SIDE * SIDE].astype(np.float32).reshape(-1, SIDE, SIDE)


def colours(sketches: NDArray[np.float16]) -> Values:
    """The colour differences `[n, 2, 8, 8]` of sketches `[n, LENGTH]`."""
    return sketches[:, SIDE * SIDE :].astype(np.float32).reshape(-1, 2, _COLOUR_SIDE, _COLOUR_SIDE)


def hashes(grey: Values) -> NDArray[np.uint64]:
    """Perceptual hashes (pHash) of pictures `[n, 32, 32]`, 64 bits each: low cosine frequencies above their median.

    The definition of `imagehash.phash`, over many pictures at once.
    """
    from scipy.fft import dctn  # a third of a second of every process that only draws sketches

    low = dctn(grey, axes=(1, 2))[:, :8, :8].reshape(len(grey), 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


class Sketches:
    """Sketches on disk, memory-mapped: two kilobytes a picture would not fit into memory a million times.

    Args:
        path: the file; it goes with `close`.
    """

    def __init__(self, path: Path) -> None:
        """Creates an empty file."""
        self._path = path
        self._handle = path.open("w+b")
        self.count = 0

    def add(self, row: NDArray[np.float16]) -> int:
        """Appends one sketch and returns its number."""
        self._handle.write(row.tobytes())
        self.count += 1
        return self.count - 1

    def rows(self) -> Sketch:
        """All of them, `[count, LENGTH]`, read from disk as they are used."""
        self._handle.flush()
        if not self.count:
            return np.zeros((0, LENGTH), dtype=np.float16)
        return np.memmap(self._path, dtype=np.float16, mode="r", shape=(self.count, LENGTH))

    def close(self) -> None:
        """Deletes the file."""
        self._handle.close()
        self._path.unlink(missing_ok=True)
