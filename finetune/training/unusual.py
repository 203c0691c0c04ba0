"""Settings that nobody who trains bases of this size uses: a warning before hours are spent, never an error."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune.config.schema import Config
from finetune.families._base import COMPONENTS
from finetune.rundir import Json
from finetune.training.lora import rate

LARGE = 1_000_000_000
"""Parameters from which on the limits below hold; smaller bases are trained in many ways."""

LORA_LIMIT, FULL_LIMIT = 5e-4, 5e-5
"""Highest usual rates for large bases: of LoRA (2e-4 in arXiv:2305.14314) and of full
training (1e-5 to 2e-5 in the full recipes of Qwen-VL, LLaMA-Factory and ms-swift), with room."""


@dataclass(frozen=True)
class Unusual:
    """One setting that is unusual for the size of the base.

    Attributes:
        key: the setting.
        reason: what is unusual about it, and what is usual.
    """

    key: str
    reason: str


def unusual(config: Config, table: Mapping[str, Json]) -> list[Unusual]:
    """What is unusual about targets and rates.

    Args:
        config: its method and training.
        table: component -> `parameters` and `trained`, as `lora.table` gives it.
    """
    whole = sum(row["parameters"] for row in table.values())
    if whole < LARGE:
        return []
    targets = config.method.targets
    chosen = {
        "vision_tower": targets.vision_tower,
        "projector": targets.projector,
        "language_model": targets.language_model,
    }
    size = f"a base of {whole / 1e9:.1f} B parameters"
    found = []
    if targets.vision_tower == "full" and targets.language_model != "full":
        found.append(
            Unusual(
                "method.targets.vision_tower",
                f"full trains every parameter of the vision tower of {size}; usual is none, or all for LoRA",
            )
        )
    for part in COMPONENTS:
        if chosen.get(part, "none") == "none":
            continue
        in_full = chosen[part] == "full"
        value, limit = rate(config.train, part, in_full=in_full), FULL_LIMIT if in_full else LORA_LIMIT
        if value > limit:
            key = "train.learning_rates.full" if in_full else "train.learning_rate"
            how = "full training" if in_full else "LoRA"
            reason = f"{value:g} is a high rate for {how} of the {part} of {size}; usual is {limit / 5:g}"
            found.append(Unusual(key, reason))
    return found
