"""Molmo 2: features are added to the embedding of the image tokens, which see each other in both directions."""

from typing import Any

from finetune.families._arithmetic import SQUARE, TORCHVISION, library_count
from finetune.families._base import Family


def rewrite(processor: Any, text: str) -> str:
    """The text as the processor begins it: with BOS, or the end token where the tokenizer has no BOS."""
    words = processor.tokenizer
    begin: str = words.bos_token or words.eos_token
    return text if text.startswith(begin) else begin + text


FAMILY = Family(
    name="molmo2",
    model_types=("molmo2",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "max_crops", "overlap_margins", "pooling_size"),
    vision_inputs=("pixel_values", "image_token_pooling", "image_grids", "image_num_crops"),
    image_token="<|image|>",
    soft_token="<im_patch>",
    image_tokens=library_count,
    rewrite=rewrite,
    packages=TORCHVISION,
    image_backend="torchvision",
    predecessors=("MolmoForCausalLM",),
    required_inputs=("mm_token_type_ids",),
    features="list",
)
