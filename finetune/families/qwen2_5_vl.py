"""Qwen2.5-VL: Qwen2-VL with a windowed tower."""

from dataclasses import replace

from finetune.families import qwen2_vl
from finetune.families._arithmetic import qwen_resized

FAMILY = replace(
    qwen2_vl.FAMILY, name="qwen2_5_vl", model_types=("qwen2_5_vl",), boxes="qwen2_5_vl", resized=qwen_resized
)
