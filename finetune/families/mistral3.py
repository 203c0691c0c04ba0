"""Mistral Small 3: Pixtral's tower, patches merged two by two; the tower's layers have the language model's names."""

from finetune.families._arithmetic import SQUARE, TORCHVISION, library_count
from finetune.families._base import Family

FAMILY = Family(
    name="mistral3",
    model_types=("mistral3",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=SQUARE,
    vision_inputs=("pixel_values", "image_sizes"),
    image_token="[IMG]",
    image_tokens=library_count,
    packages=TORCHVISION,
    image_backend="torchvision",
    features="list",
)
