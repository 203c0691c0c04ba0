"""What a CPU can do, and how memory is kept on it. Torch is imported only where it is asked."""

import ctypes
import os
from contextlib import suppress
from typing import Final

_BF16: Final = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
"""Instructions that multiply in bfloat16, as `torch.cpu.get_capabilities` calls them: Intel and AMD, then Arm."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's settings in malloc.h."""

KEPT_BYTES: Final = 2**30
"""Freed memory at the end of the heap that is kept for the next step instead of being given back."""

LARGEST_KEPT_BYTES: Final = 2**26
"""A block of this size or more is given back to the system when it is freed, as ever."""


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


def keep_memory() -> bool:
    """Lets the C library keep what a training step frees, since the next step asks for the same again.

    By default glibc hands every activation back and fetches it anew: the system clears the pages each time, and a step
    of the embedded model spends a tenth of its time on that. Blocks of 64 MiB and more are still given back.

    Returns:
        whether the library took it; other C libraries have no such setting, and nothing changes.
    """
    try:
        setting = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(setting(_TRIM_THRESHOLD, KEPT_BYTES)) and bool(setting(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES))


def give_back() -> None:
    """Gives the memory that is freed but kept back to the system; only glibc knows how."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
