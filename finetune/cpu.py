"""What a CPU can do, and how memory is kept on it. Torch is imported only where it is asked."""

import ctypes
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
