"""MiniCPM-V 4.6: the picture and slices of it, a merge inside the tower, Qwen3.5's language model."""

from finetune.families._arithmetic import TORCHVISION, asked_count
from finetune.families._base import Family

FAMILY = Family(
    name="minicpmv4_6",
    model_types=("minicpmv4_6",),
    vision_tower=("model.vision_tower",),
    projector=("model.merger",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=("max_slice_nums", "scale_resolution", "slice_mode", "image_mean", "image_std"),
    vision_inputs=("pixel_values", "target_sizes"),
    image_token="<|image_pad|>",
    image_tokens=asked_count,
    packages=TORCHVISION,
    predecessors=("MiniCPMV", "MiniCPMO"),
    features="list",
    boxes="minicpmv",
)
