"""Qwen3-VL: image rows enter deeper layers too (DeepStack), and boxes are thousandths."""

from dataclasses import replace

from finetune.families import qwen2_vl

FAMILY = replace(
    qwen2_vl.FAMILY,
    name="qwen3_vl",
    model_types=("qwen3_vl",),
    projector=("model.visual.merger", "model.visual.deepstack_merger_list"),
    deepstack=True,
    boxes="qwen3_vl",
)
