import ctypes

import pytest
import torch

from finetune import cpu


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True}, False),  # AVX-512 alone still emulates it
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
    ],
)
def test_bf16_by_the_instructions_of_the_processor(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert cpu.multiplies_bf16() is expected


def test_the_names_of_the_instructions_are_those_that_torch_uses():
    able = torch.cpu.get_capabilities()
    known = {"x86_64": {"amx_bf16", "avx512_bf16"}}.get(able["architecture"], {"bf16"})
    assert known <= set(able)


class Heap(ctypes.Structure):
    """What glibc's mallinfo2 says: ten sizes, the fourth counts blocks outside the heap."""

    _fields_ = [(f"size_{index}", ctypes.c_size_t) for index in range(10)]


@pytest.mark.parametrize(("mib", "apart"), [(48, 0), (65, 1)])
def test_blocks_below_64_mib_come_from_the_heap_that_is_kept(mib, apart):
    """By default everything above 32 MiB is fetched apart from the system, and given back when it is freed."""
    assert cpu.keep_memory()
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes, library.mallinfo2.restype = [ctypes.c_void_p], Heap
    before = library.mallinfo2().size_3
    block = library.malloc(mib * 2**20)
    during = library.mallinfo2().size_3
    library.free(block)
    assert during - before == apart


def test_a_library_without_the_setting_changes_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert cpu.keep_memory() is False
