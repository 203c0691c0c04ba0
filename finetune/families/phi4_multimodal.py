"""Phi-4 multimodal: tower, projection and an audio encoder live inside the embedding; fused layers."""

from finetune.families._arithmetic import TORCHVISION, asked_count
from finetune.families._base import Family

_EMBED = "model.embed_tokens_extend"

FAMILY = Family(
    name="phi4_multimodal",
    model_types=("phi4_multimodal",),
    vision_tower=(f"{_EMBED}.image_embed.img_processor", f"{_EMBED}.audio_embed"),
    projector=tuple(
        f"{_EMBED}.image_embed.{part}"
        for part in (
            "img_projection_up",
            "img_projection_down",
            "global_img_feature_extensor",
            "sub_img_feature_extensor",
        )
    ),
    language_model=("model.layers", "model.embed_tokens", "model.norm"),
    head=("lm_head",),
    pixel_keys=("size", "dynamic_hd", "image_mean", "image_std"),
    vision_inputs=("image_pixel_values", "image_sizes", "image_attention_mask"),
    image_token="<|endoftext10|>",
    end_token="<|end|>",
    image_tokens=asked_count,
    packages=TORCHVISION,
    image_backend="torchvision",
    predecessors=("Phi4MMForCausalLM", "Phi3VForCausalLM"),
    auto_class="AutoModelForCausalLM",
    unused=(f"{_EMBED}.audio_embed",),
    no_features="its rows enter inside the embedding, for which the cache has no door",
    gaps={
        "batch": "images of different sizes in one batch change each other's rows; use evaluate.batch_size=1",
        "features": "the library has no method that gives its rows; the model itself refuses another number",
        "cached": "its rows enter inside the embedding, for which the cache has no door: the tower runs each epoch",
    },
)
