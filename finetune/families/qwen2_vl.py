"""Qwen2-VL: a tower that takes images of any size, and positions on three axes in the language model."""

from typing import TYPE_CHECKING, Any

from finetune.family import Family

if TYPE_CHECKING:
    from PIL.Image import Image


def image_tokens(processor: Any, height: int, width: int) -> int:
    """Tokens that one image expands to, by the library's own arithmetic; the wrapper is part of the template."""
    counts: list[int] = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])["num_image_tokens"]
    return counts[0]


def shrink(processor: Any, image: "Image") -> "Image":
    """Applies the processor's resize where it makes the image smaller.

    The sizes are the library's, so the processor's own resize then finds nothing left to do and the pixels are equal.
    """
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    settings = processor.image_processor
    if not settings.do_resize:
        return image
    limits = {"min_pixels": settings.size["shortest_edge"], "max_pixels": settings.size["longest_edge"]}
    factor = settings.patch_size * settings.merge_size
    height, width = smart_resize(image.height, image.width, factor=factor, **limits)
    smaller = height <= image.height and width <= image.width
    if not smaller or smart_resize(height, width, factor=factor, **limits) != (height, width):
        return image
    return image.resize((width, height), Image.Resampling(settings.resample))


FAMILY = Family(
    name="qwen2_vl",
    model_types=("qwen2_vl",),
    vision_tower=("model.visual",),
    projector=("model.visual.merger",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=("size", "min_pixels", "max_pixels", "do_resize", "resample", "image_mean", "image_std"),
    vision_inputs=("pixel_values",),
    image_token="<|image_pad|>",
    end_token="<|im_end|>",
    image_tokens=image_tokens,
    shrink=shrink,
    packages=(("torchvision", "torchvision"),),
    feature_inputs=("image_grid_thw",),
    required_inputs=("mm_token_type_ids",),
    features="list",
    boxes="pixels",
)
