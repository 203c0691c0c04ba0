"""Plans the length of every sample from image headers, before anything is trained; nothing is ever cut."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from finetune import pixels
from finetune.encoding import Encoder
from finetune.errors import DataError
from finetune.example import Example, ImageRef

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""Values of the EXIF orientation that swap height and width."""


def check(encoder: Encoder, examples: Iterable[Example], root: Path, model: Any) -> int:
    """Compares the length of each sample with the positions of the model; returns the longest, in tokens.

    Raises:
        DataError: a sample is longer than the model's positions, or its answer cannot be told from its prompt.
    """
    limit: int = model.config.get_text_config().max_position_embeddings
    longest = 0
    for example in examples:
        encoder.answer_ids(example, example.target)
        tokens = encoder.length(example, [size(root, ref) for ref in example.images])
        if tokens > limit:
            raise DataError(
                f"example {example.id!r} ({example.row or 'no row'}): prompt, {len(example.images)} images and answer "
                f"are {tokens} tokens, the model has {limit} positions. Samples are never cut: use fewer or smaller "
                "images (model.pixels), or a shorter question."
            )
        longest = max(longest, tokens)
    return longest


def size(root: Path, ref: ImageRef) -> tuple[int, int]:
    """(height, width) of an image after EXIF rotation, from its header."""
    with Image.open(pixels.check(root, ref.path), formats=pixels.FORMATS) as image:
        width, height = image.size
        return (width, height) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (height, width)
