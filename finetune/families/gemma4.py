"""Gemma 4: as many rows as the image's shape allows; an embedding for every layer, audio left alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finetune.families._arithmetic import TORCHVISION, library_count
from finetune.families._base import Family

if TYPE_CHECKING:
    from PIL.Image import Image

END = "<turn|>"


def render(processor: Any, turns: Sequence[Any], answer: str | None) -> str:
    """The prompt as the template writes it, and the answer behind it.

    The template is not asked for answers: it trims them and strips thinking, and one that ends a prompt with an empty
    chain of thought leaves it out of a turn that is answered.
    """
    prompt: str = processor.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
    return prompt if answer is None else f"{prompt}{answer}{END}\n"


def rewrite(processor: Any, text: str) -> str:
    """The text with the begin and end token of each image, as the processor writes it."""
    image = processor.image_token
    return text.replace(image, f"{processor.boi_token}{image}{processor.eoi_token}")


def shrink(processor: Any, image: "Image") -> "Image":
    """Applies the processor's resize where it makes the image smaller and finds nothing left to do afterwards."""
    from PIL import Image
    from transformers.models.gemma4.processing_gemma4 import get_aspect_ratio_preserving_size

    settings = processor.image_processor
    pooled = settings.pooling_kernel_size
    limits = (settings.patch_size, settings.max_soft_tokens * pooled**2, pooled)
    height, width = get_aspect_ratio_preserving_size(image.height, image.width, *limits)
    smaller = height <= image.height and width <= image.width
    if not smaller or get_aspect_ratio_preserving_size(height, width, *limits) != (height, width):
        return image
    return image.resize((width, height), Image.Resampling(settings.resample))


FAMILY = Family(
    name="gemma4",
    model_types=("gemma4",),
    vision_tower=("model.vision_tower", "model.audio_tower"),
    projector=("model.embed_vision", "model.embed_audio"),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=("max_soft_tokens", "resample"),
    vision_inputs=("pixel_values", "image_position_ids"),
    image_token="<|image|>",
    end_token=END,
    image_tokens=library_count,
    rewrite=rewrite,
    shrink=shrink,
    render=render,
    packages=TORCHVISION,
    required_inputs=("mm_token_type_ids",),
    linear_skip=("router.proj",),
    unused=("model.audio_tower", "model.embed_audio"),
    eager=("audio_config",),
    features="list",
    boxes="box_2d",
)
