"""What leaves of an image: pixels encoded anew, and nothing else. No EXIF, no text chunk, no file name."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from finetune.example import Example
from finetune.images import decode
from finetune.rundir import Json

LARGEST_PNG_BYTES = 3_500_000
"""Providers take 5 MB of base64 an image (Anthropic, the narrowest): larger pictures leave as JPEG."""

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Picture:
    """One picture as it leaves.

    Attributes:
        content: PNG, or JPEG where that PNG would be too large.
        media_type: image/png or image/jpeg.
        sha256: digest of the pixels that were encoded.
        size: width and height in pixels.
    """

    content: bytes
    media_type: str
    sha256: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Sent:
    """The pictures of one example: as they leave, and the digest of the pixels that every model is paired by."""

    pictures: tuple[Picture, ...]
    image_sha256: str


def policy(max_side: int | None) -> Json:
    """What is done to pixels before they leave, for the record."""
    return {"max_side": max_side, "format": f"png, above {LARGEST_PNG_BYTES} bytes jpeg quality {JPEG_QUALITY}"}


def scaled(image: Image.Image, max_side: int | None) -> Image.Image:
    """The picture with its longest side at most `max_side` pixels; never enlarged."""
    longest = max(image.size)
    if max_side is None or longest <= max_side:
        return image
    width, height = (max(1, round(side * max_side / longest)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def encode(image: Image.Image, max_side: int | None) -> Picture:
    """Encodes decoded RGB pixels anew; metadata cannot pass, since only the array is handed on."""
    bare = scaled(image.convert("RGB"), max_side)
    bare = Image.frombytes("RGB", bare.size, bare.tobytes())
    content, media_type = _written(bare, "PNG", optimize=False), "image/png"
    if len(content) > LARGEST_PNG_BYTES:
        content, media_type = _written(bare, "JPEG", quality=JPEG_QUALITY, subsampling=0), "image/jpeg"
    return Picture(content, media_type, decode.digest([bare]), bare.size)


def _written(image: Image.Image, form: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def of(example: Example, root: Path, max_side: int | None) -> Sent:
    """Decodes and encodes the images of an example, in order.

    Raises:
        DataError: an image cannot be decoded.
    """
    images = [decode.load(root, ref) for ref in example.images]
    return Sent(tuple(encode(image, max_side) for image in images), decode.digest(images))
