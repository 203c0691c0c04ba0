"""DeepSpeed: its settings from `launch/deepspeed/`, kept from building native code and from writing to our output."""

import importlib.util
import logging
import os
from typing import TYPE_CHECKING, Any

from finetune.config.compose import bundled
from finetune.errors import ConfigError, ResourceError
from finetune.plugins import unknown
from finetune.rundir import Json, read_json
from finetune.training import ranks

if TYPE_CHECKING:
    from transformers import TrainingArguments

COMPILED = "deepspeed_shm_comm"
"""Faster messages between ranks on CPUs, compiled by DeepSpeed on first use; gloo carries them instead."""


def templates() -> list[str]:
    """Names of the settings there are."""
    return sorted(file.stem for file in (bundled("launch") / "deepspeed").glob("*.json"))


def settings(name: str | None) -> Json | None:
    """The settings of that name, with DeepSpeed loaded and quiet; None where none is wanted.

    Raises:
        ConfigError: there is no such template.
        ResourceError: the package is missing.
    """
    if name is None:
        return None
    if name not in templates():
        raise ConfigError(f"hardware.deepspeed: {unknown('template', name, templates())}")
    if importlib.util.find_spec("deepspeed") is None:
        raise ResourceError(f"hardware.deepspeed={name} needs deepspeed: pip install 'onsite-vlm[deepspeed]'")
    import deepspeed

    deepspeed.ops.__compatible_ops__[COMPILED] = False
    deepspeed.utils.logging.logger.setLevel(logging.ERROR)  # it writes to standard output, which is for results
    return read_json(bundled("launch") / "deepspeed" / f"{name}.json")


def shards(name: str | None, world: int) -> tuple[int, int, int]:
    """Over how many ranks a template divides optimiser state, gradients and weights."""
    stage = int(name.removeprefix("zero")[0]) if name else 0
    return world if stage >= 1 else 1, world if stage >= 2 else 1, world if stage >= 3 else 1


def divides_weights(name: str | None) -> bool:
    """Whether the weights themselves are divided."""
    return shards(name, 2)[2] > 1


def forget() -> None:
    """Ends what transformers remembers of a former training: it would keep the next model from being loaded whole."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


def count_ranks(arguments: "TrainingArguments") -> None:
    """Tells accelerate how many ranks there are, which it takes for one where DeepSpeed runs without a GPU."""
    state: Any = arguments.distributed_state
    state.num_processes, state.process_index = ranks.world(), ranks.rank()
    state.local_process_index = int(os.environ["LOCAL_RANK"])
