"""Idefics2: a perceiver makes the same number of rows of every image; a blank is put after it where text follows."""

import re
from typing import Any

from finetune.families._base import Family


def image_tokens(processor: Any, height: int, width: int) -> int:
    """Rows of an image, or of its quarters and itself with a mark between each."""
    rows: int = processor.image_seq_len
    return 5 * rows + 4 if processor.image_processor.do_image_splitting else rows


def rewrite(processor: Any, text: str) -> str:
    """The text with marks around each image, one between neighbours, and the blank."""
    fake, image = str(processor.fake_image_token), str(processor.image_token)
    marked = text.replace(image, fake + image + fake).replace(fake + fake, fake)
    return re.sub(rf"{re.escape(fake)}(?=[^\s<])", f"{fake} ", marked)


FAMILY = Family(
    name="idefics2",
    model_types=("idefics2",),
    vision_tower=("model.vision_model",),
    projector=("model.connector",),
    language_model=("model.text_model",),
    head=("lm_head",),
    pixel_keys=("size", "do_image_splitting", "do_resize", "resample", "image_mean", "image_std"),
    vision_inputs=("pixel_values", "pixel_attention_mask"),
    image_token="<image>",
    end_token="<end_of_utterance>",
    image_tokens=image_tokens,
    rewrite=rewrite,
    features="list",
)
