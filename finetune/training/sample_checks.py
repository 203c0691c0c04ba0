"""What is checked and shown before the first step: the length of every sample, and the text that is supervised."""

import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetune.errors import DataError
from finetune.example import Example, ImageRef
from finetune.images import decode
from finetune.models.encoding import Encoder
from finetune.training.collator import Pictures


def check_lengths(encoder: Encoder, examples: Iterable[Example], root: Path, model: Any) -> list[int]:
    """Compares the length of each sample with the positions of the model; returns the lengths, in tokens.

    Lengths come from image headers alone; nothing is ever cut.

    Raises:
        DataError: a sample is longer than the model's positions, its answer cannot be told from its prompt, or one of
            its images is not readable.
    """
    limit: int = model.config.get_text_config().max_position_embeddings
    lengths = []
    for example in examples:
        encoder.answer_ids(example, example.target)
        try:
            sizes = [size(root, ref) for ref in example.images]
        except DataError as error:
            raise DataError(f"example {example.id!r} ({example.row or 'no row'}): {error}") from error
        tokens = encoder.length(example, sizes)
        if tokens > limit:
            raise DataError(
                f"example {example.id!r} ({example.row or 'no row'}): prompt, {len(example.images)} images and answer "
                f"are {tokens} tokens, the model has {limit} positions. Samples are never cut: use fewer or smaller "
                "images (model.pixels), or a shorter question."
            )
        lengths.append(tokens)
    return lengths


def image_tokens(encoder: Encoder, examples: Iterable[Example], root: Path) -> int:
    """Tokens of all images together, from their headers."""
    return sum(encoder.image_tokens([size(root, ref) for ref in example.images]) for example in examples)


@lru_cache(maxsize=2**18)
def size(root: Path, ref: ImageRef) -> tuple[int, int]:
    """(height, width) of an image after EXIF rotation, or of its tile, from its header.

    Raises:
        DataError: the file is not an image that may be decoded; names its path.
    """
    width, height = decode.header(root, ref).size
    return height, width


def show_supervision(encoder: Encoder, examples: Sequence[Example], pictures: Pictures) -> None:
    """Prints what the loss will see of the first examples, so that a wrong template is seen before hours are spent.

    Raises:
        DataError: nothing at all is supervised.
    """
    seen = encoder.supervision(encoder.supervised(examples, [pictures(example) for example in examples]))
    if not seen.share:
        raise DataError("no token of the first batch carries a label; nothing would be learned.")
    shown = " | ".join(repr(text) for text in dict.fromkeys(seen.texts))
    print(f"supervised text: {shown} ({seen.share:.1%} of the tokens)", file=sys.stderr)
