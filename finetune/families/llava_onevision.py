"""LLaVA-OneVision: SigLIP tower and Qwen2; images of a sample are tiled only where there is one of them."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from finetune.families import llava_next
from finetune.families._arithmetic import SQUARE, TORCHVISION


def among_others(processor: Any, height: int, width: int) -> int:
    """Tokens of an image that is not tiled: the same for every size."""
    return _untiled(processor)


@lru_cache(maxsize=8)
def _untiled(processor: Any) -> int:
    from PIL import Image

    pair = [Image.new("RGB", (32, 32)) for _ in range(2)]
    batch = processor(text=[processor.image_token * 2], images=[pair], add_special_tokens=False, return_tensors="pt")
    return int(batch["input_ids"].shape[1]) // 2


FAMILY = replace(
    llava_next.FAMILY,
    name="llava_onevision",
    model_types=("llava_onevision",),
    pixel_keys=(*SQUARE, "image_grid_pinpoints"),
    vision_inputs=("pixel_values", "image_sizes", "batch_num_images"),
    among_others=among_others,
    packages=TORCHVISION,
    predecessors=("LlavaQwenForCausalLM",),
)
