"""Llama 4: tiles with separators, early fusion, experts that are bare parameters."""

from typing import Any

from finetune.families._arithmetic import SQUARE, TORCHVISION
from finetune.families._base import Family


def image_tokens(processor: Any, height: int, width: int) -> int:
    """Tokens that one image expands to: tiles with a separator each, then the whole image, and its three marks."""
    import torch
    from transformers.models.llama4.image_processing_llama4 import find_supported_resolutions, get_best_fit

    settings = processor.image_processor
    sizes = find_supported_resolutions(max_num_chunks=settings.max_patches, patch_size=settings.size)
    best = get_best_fit((height, width), torch.tensor(sizes), resize_to_max_canvas=settings.resize_to_max_canvas)
    tiles = (int(best[0]) // settings.size["height"]) * (int(best[1]) // settings.size["width"])
    each: int = (settings.size["height"] // processor.patch_size) ** 2 // processor.downsample_ratio
    return each + 3 + (tiles * (each + 1) if tiles > 1 else 0)


def prepare(model: Any) -> None:
    """Casts pixels, which the processor leaves in bf16, to the tower's type; and mends the output of transformers 5.24.

    That release asks the language model's output for the image's, which it does not have.
    """
    model.vision_model.register_forward_pre_hook(_cast, with_kwargs=True)
    model.language_model.register_forward_hook(_without_image)


def _cast(module: Any, args: Any, inputs: dict[str, Any]) -> Any:
    kind = next(module.parameters()).dtype
    return tuple(value.to(kind) for value in args), {
        name: value.to(kind) if name == "pixel_values" else value for name, value in inputs.items()
    }


def _without_image(module: Any, args: Any, output: Any) -> None:
    if not isinstance(output, tuple):
        output.image_outputs = None


FAMILY = Family(
    name="llama4",
    model_types=("llama4",),
    vision_tower=("vision_model",),
    projector=("multi_modal_projector",),
    language_model=("language_model.model",),
    head=("language_model.lm_head",),
    pixel_keys=(*SQUARE, "max_patches", "resize_to_max_canvas"),
    vision_inputs=("pixel_values",),
    image_token="<|image|>",
    soft_token="<|patch|>",
    image_tokens=image_tokens,
    packages=TORCHVISION,
    image_backend="torchvision",
    prepare=prepare,
    experts=("experts.gate_up_proj", "experts.down_proj"),
    linear_skip=("router",),
    features="hidden",
)
