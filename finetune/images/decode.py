"""The one place that decodes an image: path safety, caps before decode, EXIF, colour, windows, digests.

What leaves here is RGB, 8 bits a channel, upright. Stated conversions: alpha is laid over white; CMYK, YCbCr, LAB and
palettes go through Pillow's own conversion; raw values of more than 8 bits need `ImageRef.window`.
"""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from finetune.errors import DataError
from finetune.example import ImageRef
from finetune.images.header import ORIENTATION, told_late
from finetune.images.header import Header as Header  # adapters know this module alone
from finetune.images.header import upright as upright
from finetune.images.safe_path import check as check

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF")
"""Decoders that may run on private data; everything else Pillow knows is never tried."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".avif"})
"""File name endings (lower case) that a folder scan takes for images."""

MAX_PIXELS = 2**26
MAX_SIDE_PX = 20_000
_WHOLES = 4
"""Decoded images that are kept while their tiles are read."""
_BACKGROUND = (255, 255, 255, 255)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright."""
_DEEP_MODES = ("I", "F")
_PHOTOMETRIC = 262
"""TIFF tag that says what its values mean; 0 is MinIsWhite."""
_UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's decoders raise on damaged files."""

# Pillow only warns above 89 megapixels; this makes the warning an error before a byte is decoded.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def load(root: Path, ref: ImageRef) -> Image.Image:
    """Decodes an image completely: RGB, uint8, upright by its EXIF orientation.

    Args:
        root: the run's image root; `ref.path` must stay below it.
        ref: path, frame and window.

    Raises:
        DataError: the path is unsafe, the file damaged, too large, of another format, of several frames without a rule,
            or of more than 8 bits without a window. Names the path.
    """
    if ref.tile is not None:
        return _tile(root, ref)
    with _opened(_file(root, ref), ref) as image:
        return _upright(image, ref)


def _tile(root: Path, ref: ImageRef) -> Image.Image:
    """A rectangle of an upright image; the last images stay decoded, since their tiles are mostly wanted together."""
    status = _file(root, ref).stat()
    return crop(_whole(root, replace(ref, tile=None), status.st_mtime_ns, status.st_size), ref)


@lru_cache(maxsize=_WHOLES)
def _whole(root: Path, ref: ImageRef, changed: int, length: int) -> Image.Image:
    return load(root, ref)


def crop(whole: Image.Image, ref: ImageRef) -> Image.Image:
    """Cuts the tile of a reference out of its decoded image.

    Raises:
        DataError: it is not inside.
    """
    _check_tile(ref, whole.size)
    return whole.crop(ref.tile) if ref.tile else whole


def _check_tile(ref: ImageRef, size: tuple[int, int]) -> None:
    left, top, right, bottom = ref.tile or (0, 0, *size)
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise DataError(
            f"image {ref.path!r} is {size[0]} x {size[1]} pixels, so it has no tile {ref.tile}: it was changed "
            "since it was cut. Run prepare again."
        )


def decode(content: bytes, ref: ImageRef) -> Image.Image:
    """Decodes an image that is no file of its own by the same rules; `ref.path` only names it in errors.

    Raises:
        DataError: as `load`.
    """
    if not content:
        raise DataError(f"image {ref.path!r} is empty (0 bytes).")
    with _opened(io.BytesIO(content), ref) as image:
        return _upright(image, ref)


def header(root: Path, ref: ImageRef) -> Header:
    """Size and orientation, with every check of `load` that needs no pixels.

    Raises:
        DataError: as `load`, for what the header shows.
    """
    with _opened(_file(root, ref), ref) as image:
        return _header(image, ref)


def header_of(content: bytes, ref: ImageRef) -> Header:
    """As `header`, of an image that is no file of its own; `ref.path` only names it in errors.

    Raises:
        DataError: as `header`.
    """
    with _opened(io.BytesIO(content), ref) as image:
        return _header(image, ref)


def _header(image: Image.Image, ref: ImageRef) -> Header:
    if ref.window is None and _is_deep(image):
        raise DataError(
            f"image {ref.path!r} holds raw values of more than 8 bits (mode {image.mode}). Say which range is "
            "black to white: data.options.window=[LOW,HIGH]."
        )
    exif = image.getexif() if told_late(image) else Image.Image.getexif(image)
    orientation = exif.get(ORIENTATION, 1)
    turn = orientation if orientation in range(2, 9) else 1
    found = Header(*_stored(image, turn), turn)
    _check_tile(ref, found.size)
    return replace(found, tile=ref.tile)


def _stored(image: Image.Image, orientation: int) -> tuple[int, int]:
    """(width, height) of the stored pixels: Pillow gives the size of a TIFF as it will be turned."""
    width, height = image.size
    return (height, width) if image.format == "TIFF" and orientation >= 5 else (width, height)


def load_values(root: Path, relative: str) -> NDArray[np.int64]:
    """The raw values `[height, width]` of a mask: grey levels, or indices of a palette; never colours.

    Raises:
        DataError: as `load`; or the file holds colours, alpha, several frames or fractions, is turned by EXIF, or
            counts deep values down from white.
    """
    ref = ImageRef(relative)
    with _opened(_file(root, ref), ref) as image:
        if _is_deep(image) and _white_is_zero(image):
            raise DataError(
                f"mask {relative!r} is a TIFF in which 0 is white (MinIsWhite); save it with 0 as black, so "
                "that its values are those that were meant."
            )
        if image.mode not in ("1", "L", "P", "I", "I;16"):
            raise DataError(
                f"mask {relative!r} has mode {image.mode}; expected one channel of whole numbers (grey or palette)."
            )
        if image.getexif().get(ORIENTATION, 1) != 1:
            raise DataError(f"mask {relative!r} is turned by EXIF, which masks must not be; save it upright.")
        return np.asarray(image).astype(np.int64)


def _file(root: Path, ref: ImageRef) -> Path:
    place = check(root, ref.path)
    if ref.member is not None:
        raise DataError(f"image {ref.path!r}: member {ref.member!r} is named, but images inside archives are not read.")
    return place


@contextmanager
def _opened(source: Path | IO[bytes], ref: ImageRef) -> Iterator[Image.Image]:
    """Opens an image at the wanted frame, its header checked; whatever a decoder raises becomes a `DataError`."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            _check_size(image, ref.path)
            _choose_frame(image, ref)
            _check_size(image, ref.path)
            _check_depth(image, ref)
            yield image
    except UnidentifiedImageError as error:
        raise DataError(f"image {ref.path!r} is none of the formats read here ({', '.join(FORMATS)}).") from error
    except _UNDECODABLE as error:
        raise DataError(f"image {ref.path!r} cannot be decoded: {error or type(error).__name__}.") from error


def _check_size(image: Image.Image, path: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise DataError(
            f"image {path!r} is {width} x {height} pixels; at most {MAX_PIXELS:,} pixels and {MAX_SIDE_PX:,} a side "
            "are decoded. Cut it into tiles or scale it down."
        )


def _choose_frame(image: Image.Image, ref: ImageRef) -> None:
    if ref.frame is None and image.format == "MPO":  # a photograph, and small or stereo copies of it
        return
    if ref.frame is None:
        try:
            image.seek(1)
        except EOFError:
            return
        raise DataError(
            f"image {ref.path!r} holds several frames or pages; say which one with data.options.frame (0 is the first)."
        )
    try:
        image.seek(ref.frame)
    except EOFError as error:
        raise DataError(f"image {ref.path!r} has no frame {ref.frame} (counting from 0).") from error


def _check_depth(image: Image.Image, ref: ImageRef) -> None:
    """Refuses colour images of 16 bits a channel, which Pillow cuts to the upper 8 without a word."""
    layouts = " ".join(str(part.args) for part in image.tile)  # type: ignore[attr-defined]
    if image.mode in ("RGB", "RGBA", "LA") and ";16" in layouts and ref.window != (0, 65535):
        raise DataError(
            f"image {ref.path!r} has 16 bits a channel in colour, of which only the upper 8 can be read. Say "
            "data.options.window=[0,65535] to accept that, or convert it to 8 bits."
        )


def _upright(image: Image.Image, ref: ImageRef) -> Image.Image:
    """Decodes, converts, and turns once as EXIF says; no copy where there is nothing to do, and no metadata."""
    white_is_zero = _white_is_zero(image)  # of the file: `load` closes it
    image.load()
    turn = _TURNS.get(image.getexif().get(ORIENTATION, 1))
    rgb = _to_rgb(image, ref, white_is_zero)
    if turn is not None:
        rgb = rgb.transpose(turn)
    bare = rgb if type(rgb) is Image.Image else rgb._new(rgb.im)  # no copy of the pixels, nothing of the file
    bare.info = {}
    return bare


def _to_rgb(image: Image.Image, ref: ImageRef, white_is_zero: bool) -> Image.Image:
    if _is_deep(image):
        return _windowed(image, ref, white_is_zero)
    if image.has_transparency_data:
        upper = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), upper).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    return image.mode in _DEEP_MODES or image.mode.startswith("I;")


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF counts down from white: Pillow turns 8 bits over, but leaves deeper values as they are."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _windowed(image: Image.Image, ref: ImageRef, white_is_zero: bool) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        raise DataError(f"image {ref.path!r} holds {values.size - finite.size} values that are not finite numbers.")
    if ref.window is None:
        raise DataError(
            f"image {ref.path!r} has raw values from {finite.min():g} to {finite.max():g} (mode {image.mode}), more "
            "than 8 bits hold. Say which range is black to white: data.options.window=[LOW,HIGH]."
        )
    shares = to_shares(values, ref.window, f"image {ref.path!r}")
    grey = np.rint((1.0 - shares if white_is_zero else shares) * 255.0).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def to_shares(values: NDArray[np.float64], window: tuple[float, float], what: str) -> NDArray[np.float64]:
    """Raw values as shares 0..1 of a window, of the same shape.

    Args:
        values: finite raw values of any shape.
        window: (low, high) raw values; a falling one inverts.
        what: names the picture in the error.

    Raises:
        DataError: values that differ all lie beyond the bright end, so that nothing is left to see.
    """
    low, high = window
    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    if shares.size and shares.min() == 1.0 and values.min() < values.max():
        raise DataError(
            f"{what} turns out all white: its values are {values.min():g} to {values.max():g}, and "
            f"{high:g} is shown as white. Say another range: data.options.window=[LOW,HIGH]."
        )
    return np.asarray(shares)


def digest(images: Sequence[Image.Image]) -> str:
    """Sha256 over the ordered sha256 digests of size and decoded RGB pixels, as hex."""
    return combine([fingerprint(image) for image in images])


def fingerprint(image: Image.Image) -> bytes:
    """Sha256 of the size and the RGB pixels of one image."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    whole = hashlib.sha256(b"RGB %d %d\n" % rgb.size)
    whole.update(rgb.tobytes())
    return whole.digest()


def combine(fingerprints: Sequence[bytes]) -> str:
    """Sha256 over ordered digests, as hex."""
    return hashlib.sha256(b"".join(fingerprints)).hexdigest()
