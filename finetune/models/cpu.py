"""What a CPU can do, and how its threads wait. Torch is imported only where it is needed."""

import os
from typing import Final

_BF16: Final = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
"""Instructions that multiply in bfloat16, as `torch.cpu.get_capabilities` calls them: Intel and AMD, then Arm."""

SPINS: Final = "3000"
"""Rounds that a thread of libgomp waits busily for the others, some microseconds, before it sleeps (GOMP_SPINCOUNT)."""


def share() -> None:
    """Lets another process have a core without stopping this one; to be called before torch is imported.

    By default libgomp's threads wait 300,000 rounds: with one other process on the same cores, a loader worker will do,
    they wait for a thread that is not running, and a training step takes several times as long. Sleeping sooner costs
    little on an idle machine (bench/spinning.py). What the user set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16: without them it is emulated, ten times slower than fp32."""
    import torch

    able = torch.cpu.get_capabilities()
    return any(bool(able.get(name, False)) for name in _BF16)
