"""InternVL: tiles and a thumbnail, pixel shuffle, Qwen2 or InternLM; weights in transformers' format end in `-hf`."""

from finetune.families._arithmetic import SQUARE, TORCHVISION, library_count
from finetune.families._base import Family

FAMILY = Family(
    name="internvl",
    model_types=("internvl",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "crop_to_patches", "min_patches", "max_patches"),
    vision_inputs=("pixel_values",),
    image_token="<IMG_CONTEXT>",
    image_tokens=library_count,
    packages=TORCHVISION,
    predecessors=("InternVLChatModel",),
    features="tensor",
    boxes="internvl",
)
