"""Command A Vision: SigLIP tiles and a thumbnail, Cohere's language model."""

from finetune.families._arithmetic import SQUARE, TORCHVISION, library_count
from finetune.families._base import Family

FAMILY = Family(
    name="cohere2_vision",
    model_types=("cohere2_vision",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "min_patches", "max_patches", "crop_to_patches"),
    vision_inputs=("pixel_values",),
    image_token="<|IMG_PATCH|>",
    image_tokens=library_count,
    packages=TORCHVISION,
    image_backend="torchvision",
    features="tensor",
)
