"""The processes that train together: who this one is, what all agree on, and how one step is shared out.

The number of ranks is no part of what is trained: an optimiser step sees `train.batch_size` x `train.accumulate`
examples whatever their number. The same command on two devices, or continued on another number, is the same job.
"""

import os
from typing import Any

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
