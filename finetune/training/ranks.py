"""The processes that train together: who this one is, what all agree on, and how one step is shared out.

The number of ranks is no part of what is trained: an optimiser step sees `train.batch_size` x `train.accumulate`
examples whatever their number. The same command on two devices, or continued on another number, is the same job.
"""

import os
from typing import Any

from finetune.errors import ConfigError

LOCK = "ranks.lock"
"""Held by the main rank while it trains."""


def rank() -> int:
    """Number of this process among those of the job, as torchrun says it; 0 where there is one."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Number of processes of the job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes the run."""
    return rank() == 0


def share(batch_size: int, accumulate: int, ranks: int) -> tuple[int, int]:
    """Examples a forward pass of one rank, and its forward passes an optimiser step.

    Passes are shared out first; where they do not come out even, the examples of a pass are.

    Raises:
        ConfigError: the examples of a step cannot be shared out evenly.
    """
    for size in sorted((n for n in range(1, batch_size + 1) if batch_size % n == 0), reverse=True):
        passes = batch_size // size * accumulate
        if passes % ranks == 0:
            return size, passes // ranks
    raise ConfigError(
        f"train.batch_size x train.accumulate = {batch_size} x {accumulate} examples a step cannot be shared out among "
        f"{ranks} ranks; make it a multiple of {ranks}, as with train.accumulate={ranks}."
    )


def any_says(flag: bool) -> bool:
    """True on every rank where it is true on one."""
    return any(gathered(flag))


def gathered(value: Any) -> list[Any]:
    """The values of all ranks, in order, on every rank."""
    if world() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world()
    distributed.all_gather_object(values, value)
    return values


def from_main(value: Any) -> Any:
    """The value of the main rank, on every rank."""
    return gathered(value)[0]
