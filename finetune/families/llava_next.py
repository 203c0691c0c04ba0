"""LLaVA-NeXT: LLaVA with tiles by aspect ratio, each row of them ended by a learned newline."""

from dataclasses import replace

from finetune.families import llava

FAMILY = replace(
    llava.FAMILY,
    name="llava_next",
    model_types=("llava_next",),
    projector=("model.multi_modal_projector", "model.image_newline"),
    pixel_keys=(*llava.FAMILY.pixel_keys, "image_grid_pinpoints"),
    vision_inputs=("pixel_values", "image_sizes"),
    predecessors=(),
)
