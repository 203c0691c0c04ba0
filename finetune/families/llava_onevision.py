"""LLaVA-OneVision: SigLIP tower and Qwen2; images of a sample are tiled only where there is one of them."""

from dataclasses import replace

from finetune.families import llava_next
from finetune.families._arithmetic import SQUARE, TORCHVISION

FAMILY = replace(
    llava_next.FAMILY,
    name="llava_onevision",
    model_types=("llava_onevision",),
    pixel_keys=(*SQUARE, "image_grid_pinpoints"),
    vision_inputs=("pixel_values", "image_sizes", "batch_num_images"),
    packages=TORCHVISION,
    predecessors=("LlavaQwenForCausalLM",),
)
