"""Llama 3.2 Vision: image rows are attended to in layers of their own, and cost one token in the text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetune.families._arithmetic import SQUARE
from finetune.families._base import Door, Family

if TYPE_CHECKING:
    from torch import Tensor


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


def look(base: Any, inputs: Mapping[str, "Tensor"]) -> "Tensor":
    """Rows of one image `[tiles, rows, hidden]`; of unfilled tiles too, which text before it sees."""
    found = base.model.vision_model(**inputs).last_hidden_state
    rows: Tensor = base.model.multi_modal_projector(found)
    return rows.reshape(-1, *rows.shape[-2:])


def states(base: Any, batch: Mapping[str, "Tensor"], images: Sequence[Sequence["Tensor"]]) -> dict[str, "Tensor"]:
    """All rows one behind the other; a sample with fewer images than another gets those of no image, as with pixels.

    One without any passes the layers that would look at them, so that for it zeros do.
    """
    import torch

    mask, known = batch.get("cross_attention_mask"), [rows for own in images for rows in own]
    if mask is None or not known:
        return {}
    most = mask.shape[2]
    nothing = _no_image(base, mask) if any(0 < len(own) < most for own in images) else torch.zeros_like(known[0])
    filled = [[*own, *[nothing] * (most - len(own))] for own in images]
    return {"cross_attention_states": torch.cat([rows for own in filled for rows in own])}


def _no_image(base: Any, mask: "Tensor") -> "Tensor":
    """Rows of what the processor puts where an image is missing: zeros, with one tile that counts."""
    import torch

    settings = base.config.vision_config
    side, tiles = settings.image_size, mask.shape[3]
    pixels = torch.zeros(1, 1, tiles, settings.num_channels, side, side, dtype=base.dtype, device=base.device)
    kinds = torch.zeros(1, 1, dtype=torch.long, device=base.device)
    first = torch.eye(1, tiles, dtype=torch.long, device=base.device).unsqueeze(0)
    return look(base, {"pixel_values": pixels, "aspect_ratio_ids": kinds, "aspect_ratio_mask": first})


def numbers(config: Any) -> int:
    """A class row and the patches of each tile, each as wide as the language model."""
    settings = config.vision_config
    rows: int = settings.max_num_tiles * ((settings.image_size // settings.patch_size) ** 2 + 1)
    return rows * int(config.text_config.hidden_size)


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
    features=Door(look, states, numbers),
    gaps={"features": "an image is one token; its rows are attended to apart and stand nowhere in the text"},
)
