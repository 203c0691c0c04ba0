"""Qwen2-VL: a tower that takes images of any size, and positions on three axes in the language model."""

from finetune.families._arithmetic import TORCHVISION, library_count, qwen_shrink
from finetune.families._base import Family

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
    image_tokens=library_count,
    shrink=qwen_shrink,
    packages=TORCHVISION,
    required_inputs=("mm_token_type_ids",),
    feature_inputs=("image_grid_thw",),
    features="list",
    boxes="qwen2_vl",
)
