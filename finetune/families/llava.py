"""LLaVA 1.5: CLIP tower, two linear layers, Llama; its template ends an answer with a blank and no token."""

from finetune.families._arithmetic import library_count
from finetune.families._base import Family

FAMILY = Family(
    name="llava",
    model_types=("llava",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=("size", "crop_size", "do_resize", "do_center_crop", "resample", "image_mean", "image_std"),
    vision_inputs=("pixel_values",),
    image_token="<image>",
    image_tokens=library_count,
    predecessors=("LlavaLlamaForCausalLM", "LlavaMistralForCausalLM"),
    features="list",
    boxes="llava",
)
