"""Pictures that stand in a row itself: taken out before anything reads its texts, so that no message repeats them."""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_adapters import _written
from finetune.errors import DataError
from finetune.example import ImageRef
from finetune.images import decode
from finetune.images.safe_path import MAX_PATH

MAX_BYTES = 64 * 2**20
"""Largest picture in a row, as a file."""
MAX_TEXT = MAX_BYTES // 3 * 4 + 1024
"""Longest text of one, in characters of base64."""
_DATA_URL = re.compile(r"data:image/[\w.+-]+(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)
_KEYS = ("image", "images", "image_path")
_BASE64 = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk[0-3]|SUkq|TU0AK|AAAA[A-Za-z0-9+/]{2}Zm)")
"""How base64 of PNG, JPEG, GIF, WebP, BMP, TIFF and AVIF begins."""
_LEAST_BASE64 = 64


def taken_out(row: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures of a row by a name each, and the row with these names in their place.

    Raises:
        DataError: a picture is larger than `MAX_BYTES`, or its base64 is damaged.
    """
    pictures: dict[str, bytes] = {}
    named = {
        key: _images(value, pictures) if key in _KEYS else _turns(value, pictures)
        for key, value in row.items()
        if value is not None
    }
    return pictures, named


def _images(value: Any, pictures: dict[str, bytes]) -> Any:
    """A picture, or a list of them, as names."""
    return [_image(entry, pictures) for entry in value] if isinstance(value, list) else _image(value, pictures)


def _turns(value: Any, pictures: dict[str, bytes]) -> Any:
    """Turns with the pictures among their parts as names, and without keys that Arrow fills with nulls."""
    if isinstance(value, list):
        return [_turns(entry, pictures) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _image(part, pictures) if key in ("image", "image_url", "url") else _turns(part, pictures)
        for key, part in value.items()
        if part is not None
    }


def _image(value: Any, pictures: dict[str, bytes]) -> Any:
    if isinstance(value, dict) and isinstance(value.get("url"), str):
        return {"url": _image(value["url"], pictures)}
    if isinstance(value, dict) and not isinstance(value.get("bytes"), bytes):
        return _image(value["path"], pictures) if isinstance(value.get("path"), str) else value
    content = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(content, str):
        content = _decoded(content)
    if not isinstance(content, bytes):
        return content
    if len(content) > MAX_BYTES:
        raise DataError(f"holds a picture of {len(content):,} bytes; at most {MAX_BYTES:,} are read.")
    name = f"picture {len(pictures) + 1} of this row"
    pictures[name] = content
    return name


def _decoded(text: str) -> bytes | str:
    """The bytes of a data URL or of base64; a path stays as it is.

    Raises:
        DataError: the text is too long, or damaged; never repeats it.
    """
    head = _DATA_URL.match(text[:200])
    if not head and len(text) <= MAX_PATH and not (len(text) >= _LEAST_BASE64 and _BASE64.match(text)):
        return text
    if len(text) > MAX_TEXT:
        raise DataError(f"holds a picture of {len(text):,} characters; at most {MAX_TEXT:,} are read.")
    try:
        return base64.b64decode("".join(text[head.end() if head else 0 :].split()), validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"holds a text of {len(text):,} characters for a picture that is not base64.") from None


def write(content: bytes, ref: ImageRef, images: Path) -> ImageRef:
    """Decodes the bytes of a picture and writes them into the run.

    Raises:
        DataError: as `decode.decode`; `ref.path` names the picture.
    """
    return _written.write(decode.decode(content, ref), images)


def write_file(root: Path, ref: ImageRef, images: Path) -> ImageRef:
    """Reads a picture that a row names and writes it into the run.

    Raises:
        DataError: as `decode.load`.
    """
    return _written.write(decode.load(root, ref), images)
