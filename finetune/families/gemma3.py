"""Gemma 3: a fixed number of pooled rows an image, which see each other in both directions."""

from typing import Any

from finetune.families._arithmetic import SQUARE, library_count
from finetune.families._base import Family


def rewrite(processor: Any, text: str) -> str:
    """The text with blank lines and end token around each image, as the processor writes it."""
    begin, end = processor.boi_token, processor.tokenizer.eoi_token
    return text.replace(begin, f"\n\n{begin}{processor.tokenizer.image_token}{end}\n\n")


FAMILY = Family(
    name="gemma3",
    model_types=("gemma3",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=SQUARE,
    vision_inputs=("pixel_values",),
    image_token="<start_of_image>",
    soft_token="<image_soft_token>",
    end_token="<end_of_turn>",
    image_tokens=library_count,
    rewrite=rewrite,
    required_inputs=("token_type_ids",),
    features="tensor",
)
