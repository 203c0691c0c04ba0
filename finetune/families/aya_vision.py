"""Aya Vision: SigLIP tiles that are numbered by tokens, Cohere's language model."""

from finetune.families._arithmetic import SQUARE, library_count
from finetune.families._base import Family

FAMILY = Family(
    name="aya_vision",
    model_types=("aya_vision",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "min_patches", "max_patches", "crop_to_patches"),
    vision_inputs=("pixel_values",),
    image_token="<image>",
    soft_token="<|IMG_PATCH|>",
    image_tokens=library_count,
    features="tensor",
)
