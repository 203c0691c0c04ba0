"""Qwen3.5: linear attention in most layers of the language model; the processor is Qwen3-VL's."""

from dataclasses import replace

from finetune.families import qwen2_vl

FAMILY = replace(qwen2_vl.FAMILY, name="qwen3_5", model_types=("qwen3_5",), boxes="qwen3_vl")
