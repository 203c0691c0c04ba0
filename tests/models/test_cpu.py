import os
import sys

import pytest
import torch

from finetune.cli import main
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
    with pytest.raises(SystemExit):
        main.program()
    assert seen == expected
