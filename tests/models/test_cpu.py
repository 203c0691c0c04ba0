import ctypes
import os
import runpy
import subprocess
import sys

import pytest
import torch

from finetune.models import cpu


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "3000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_a_command_waits_for_its_threads_as_the_user_says_or_gently(monkeypatch, given, expected):
    """Seen where it counts: in the environment of the process that will import torch."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen = {}

    def replaced(_executable, _arguments, environment):
        seen.update({name: environment[name] for name in names if name in environment})
        sys.exit(0)

    monkeypatch.setattr(os, "execve", replaced)
    monkeypatch.setattr(sys, "argv", ["finetune", "runs"])
    monkeypatch.delitem(sys.modules, "finetune.cli.main", raising=False)
    with pytest.raises(SystemExit):
        runpy.run_module("finetune", run_name="__main__")
    assert seen == expected


FRESH = """
import ctypes
from finetune import cpu
class Heap(ctypes.Structure):  # glibc's mallinfo2: ten sizes, the fourth counts blocks outside the heap
    _fields_ = [(f"size_{index}", ctypes.c_size_t) for index in range(10)]
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.mallinfo2.restype = ctypes.c_void_p, [ctypes.c_size_t], Heap
assert cpu.keep_memory()
before = library.mallinfo2().size_3
library.malloc(48 * 2**20)
print(library.mallinfo2().size_3 - before)
library.malloc(65 * 2**20)
print(library.mallinfo2().size_3 - before)
"""


def test_blocks_below_64_mib_come_from_the_heap_that_is_kept():
    """By default everything above 32 MiB is fetched apart from the system, and given back when it is freed.

    In a process of its own: one that has used its heap may have room for any block.
    """
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


def test_a_library_without_the_setting_changes_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert cpu.keep_memory() is False
