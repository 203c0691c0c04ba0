"""GLM-4.1V, which takes the place of CogVLM, whose weights need code; nothing ends an answer but the next role."""

from finetune.families._arithmetic import TORCHVISION, library_count
from finetune.families._base import Family

FAMILY = Family(
    name="glm4v",
    model_types=("glm4v",),
    vision_tower=("model.visual",),
    projector=("model.visual.merger",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=("size", "do_resize", "resample", "image_mean", "image_std"),
    vision_inputs=("pixel_values",),
    image_token="<|image|>",
    end_token="<|user|>",
    image_tokens=library_count,
    packages=TORCHVISION,
    predecessors=("CogVLMForCausalLM", "ChatGLMModel", "ChatGLMForConditionalGeneration"),
    required_inputs=("mm_token_type_ids",),
    feature_inputs=("image_grid_thw",),
    features="list",
    boxes="glm4v",
)
