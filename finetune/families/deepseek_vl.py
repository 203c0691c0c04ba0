"""DeepSeek-VL: SigLIP tower, an aligner, Llama; plain words around the turns."""

from typing import Any

from finetune.families._arithmetic import SQUARE
from finetune.families._base import Family


def image_tokens(processor: Any, height: int, width: int) -> int:
    """A constant of the processor."""
    found: int = processor.num_image_tokens
    return found


FAMILY = Family(
    name="deepseek_vl",
    model_types=("deepseek_vl",),
    vision_tower=("model.vision_model",),
    projector=("model.aligner",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "min_size"),
    vision_inputs=("pixel_values",),
    image_token="<image_placeholder>",
    image_tokens=image_tokens,
    predecessors=("MultiModalityCausalLM",),
    features="tensor",
)
