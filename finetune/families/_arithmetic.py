"""What many families share: the library's own arithmetic of image tokens, and Qwen's resize."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

TORCHVISION = (("torchvision", "torchvision"),)
"""The processor, or its video half, imports torchvision whatever is asked of it."""

SQUARE = ("size", "do_resize", "resample", "image_mean", "image_std")
"""Settings of an image processor that scales to a size."""


def library_count(processor: Any, height: int, width: int) -> int:
    """Tokens that one image expands to, by the library's own arithmetic."""
    counts: list[int] = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])["num_image_tokens"]
    return counts[0]


def asked_count(processor: Any, height: int, width: int) -> int:
    """Tokens of an image by asking the processor about a blank one, once a size: for rules that only it knows."""
    return _asked(processor, height, width)


@lru_cache(maxsize=4096)
def _asked(processor: Any, height: int, width: int) -> int:
    from PIL import Image

    blank = Image.new("RGB", (width, height))
    batch = processor(text=[processor.image_token], images=[[blank]], add_special_tokens=False, return_tensors="pt")
    return int(batch["input_ids"].shape[1])


def qwen_resized(processor: Any, height: int, width: int) -> tuple[int, int]:
    """(height, width) of an image as Qwen's image processor resizes it, by the library's own rule."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    settings = processor.image_processor
    if not settings.do_resize:
        return height, width
    limits = {"min_pixels": settings.size["shortest_edge"], "max_pixels": settings.size["longest_edge"]}
    found = smart_resize(height, width, factor=settings.patch_size * settings.merge_size, **limits)
    return int(found[0]), int(found[1])


def qwen_shrink(processor: Any, image: "Image") -> "Image":
    """Applies the resize of Qwen's image processor where it makes the image smaller.

    The sizes are the library's, so the processor's own resize then finds nothing left to do and the pixels are equal.
    """
    from PIL import Image

    settings = processor.image_processor
    if not settings.do_resize:
        return image
    height, width = qwen_resized(processor, image.height, image.width)
    smaller = height <= image.height and width <= image.width
    if not smaller or qwen_resized(processor, height, width) != (height, width):
        return image
    return image.resize((width, height), Image.Resampling(settings.resample))
