"""Idefics3: SigLIP tower, pixel-shuffle connector, Llama text model (and the embedded model of this package)."""

from typing import TYPE_CHECKING, Any

from finetune.families._arithmetic import library_count
from finetune.families._base import Family

if TYPE_CHECKING:
    from PIL.Image import Image


def shrink(processor: Any, image: "Image") -> "Image":
    """Applies the processor's first resize (longest edge) where it makes the image smaller.

    The sizes are the library's, so the processor's own resize then finds nothing left to do and the pixels are equal.
    """
    from PIL import Image
    from transformers.models.idefics3.image_processing_pil_idefics3 import _resize_output_size_rescale_to_max_len

    settings = processor.image_processor
    longest = settings.size["longest_edge"]
    if not settings.do_resize or max(image.size) <= longest:
        return image
    height, width = _resize_output_size_rescale_to_max_len(image.height, image.width, max_len=longest)
    again = _resize_output_size_rescale_to_max_len(height, width, max_len=longest)
    if again != (height, width):
        return image
    return image.resize((width, height), Image.Resampling(settings.resample))


FAMILY = Family(
    name="idefics3",
    model_types=("idefics3",),
    vision_tower=("model.vision_model",),
    projector=("model.connector",),
    language_model=("model.text_model",),
    head=("lm_head",),
    pixel_keys=("size", "max_image_size", "do_image_splitting", "do_resize", "resample", "image_mean", "image_std"),
    vision_inputs=("pixel_values", "pixel_attention_mask"),
    image_token="<image>",
    end_token="<end_of_utterance>",
    image_tokens=library_count,
    shrink=shrink,
    features="list",
)
