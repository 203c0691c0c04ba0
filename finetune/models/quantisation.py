"""4-bit base weights (NF4) for the language model alone, through bitsandbytes, on a CPU too."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finetune.errors import ConfigError
from finetune.families._base import Family, component_of

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig


def four_bit_config(family: Family, dtype: torch.dtype) -> "BitsAndBytesConfig":
    """NF4 for the language model alone.

    The skip list holds full dotted prefixes, since shorter ones match nothing, and names the head, since a list of ours
    replaces the library's default that keeps it. Routers stay too: rounded, they would send tokens to other experts.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[*family.vision_tower, *family.projector, *family.head, *family.linear_skip],
    )


def check_four_bit(model: nn.Module, family: Family) -> None:
    """Asserts that 4-bit layers exist, and in the language model alone.

    Raises:
        ConfigError: the family's prefixes do not keep another component out.
    """
    names = list(four_bit_modules(model))
    outside = [name for name in names if component_of(family, name) != "language_model"]
    if outside or not names:
        raise ConfigError(
            f"method.quantise=nf4: expected 4-bit layers in the language model of {family.name} alone, got "
            f"{len(names)} with {len(outside)} outside ({', '.join(outside[:3])}); the family's prefixes are wrong."
        )


def keep_layout(model: nn.Module) -> None:
    """Keeps bitsandbytes (0.50) from repacking 4-bit weights where the CPU multiplies in bf16.

    It does so in the first pass of an evaluation, for speed, and for good: afterwards no gradient comes through those
    layers, without an error, so a training that validates would learn next to nothing from then on.
    """
    for name in four_bit_modules(model):
        layer: Any = model.get_submodule(name)
        layer.support_avx512bf16_for_cpu = False


def four_bit_modules(model: nn.Module) -> Iterator[str]:
    """Yields the names of the 4-bit linear layers of a model."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return
    from bitsandbytes.nn import Linear4bit

    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            yield name
