"""Llama 3.2 Vision: image rows are attended to in layers of their own, and cost one token in the text."""

from typing import Any

from finetune.families._arithmetic import SQUARE
from finetune.family import Family


def image_tokens(processor: Any, height: int, width: int) -> int:
    """One token, whatever the size."""
    return 1


def prepare(model: Any) -> None:
    """Lets rows without an image pass the layers that attend to images unchanged, as they do when asked alone.

    Beside a row with an image, the library lets them attend to every tile of nothing, and masks what follows only.
    """
    for layer in model.model.language_model.layers:
        if "cross_attn" in dict(layer.named_children()):
            layer.forward = _PassedByText(layer.forward)


class _PassedByText:
    """The forward of a layer, without effect on rows that have no image."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __call__(self, hidden_states: Any, **inputs: Any) -> Any:
        found, mask = self.forward(hidden_states, **inputs), inputs.get("full_text_row_masked_out_mask")
        if mask is None:
            return found
        sees = (mask != 0).flatten(1).any(1).view(-1, 1, 1)
        return found.where(sees, hidden_states)


FAMILY = Family(
    name="mllama",
    model_types=("mllama",),
    vision_tower=("model.vision_model",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=(*SQUARE, "max_image_tiles"),
    vision_inputs=("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"),
    image_token="<|image|>",
    image_tokens=image_tokens,
    carried_inputs=("cross_attention_mask",),
    required_inputs=("cross_attention_mask",),
    prepare=prepare,
    no_features="its rows enter through cross-attention, one block a sample, for which the cache has no door",
    gaps={
        "features": "an image is one token; its rows are attended to apart and stand nowhere in the text",
        "cached": "its rows enter through cross-attention, for which the cache has no door: the tower runs each epoch",
    },
)
