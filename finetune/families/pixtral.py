"""Pixtral 12B: a LLaVA by its model type, told apart by its tower."""

from dataclasses import replace

from finetune.families import mistral3

FAMILY = replace(mistral3.FAMILY, name="pixtral", model_types=("llava",), tower_types=("pixtral",))
