"""SmolVLM: the Idefics3 architecture with another processor class, which also drags in a video processor."""

from dataclasses import replace
from typing import Any

from finetune.families import idefics3


def image_tokens(processor: Any, height: int, width: int) -> int:
    """Tokens that one image expands to, wrapper tokens included.

    SmolVLMProcessor lacks the library's arithmetic; the layout is that of idefics3: `rows x cols` tiles of
    `fake + position + image_seq_len` tokens, a newline a row, then the whole image between two fake tokens.
    """
    _, rows, cols = processor.image_processor.get_number_of_image_patches(height, width, {})
    whole: int = processor.image_seq_len + 3
    if not rows:
        return whole
    newlines: int = len(processor.tokenizer("\n\n", add_special_tokens=False)["input_ids"]) - 1
    tiles: int = rows * cols * (processor.image_seq_len + 2)
    total: int = tiles + rows + whole + newlines
    return total


FAMILY = replace(
    idefics3.FAMILY,
    name="smolvlm",
    model_types=("smolvlm",),
    image_tokens=image_tokens,
    packages=(("torchvision", "torchvision"), ("num2words", "num2words")),
)
