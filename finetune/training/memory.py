"""How much memory a training will take, told before its first step, and how much it has taken.

Weights, gradients and optimiser state are arithmetic. Activations depend on architecture, method, checkpointing and
kernels, and on a CPU on the holes that the C library leaves between blocks, so the longest example goes forward and
backward and what that takes is measured; a pass grows with its examples.
"""

import ctypes
import gc
import resource
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finetune.rundir import Json
from finetune.training import checkpoints, lora
from finetune.training.loss import Batch, answer_loss, count_labels

MIB = 2**20
STATE_BYTES = {"adamw_torch": 8, "adamw_torch_fused": 8, "adamw_bnb_8bit": 2, "adamw_8bit": 2, "paged_adamw_8bit": 2}
"""Bytes of optimiser state a trained value, where they are not those of AdamW: two fp32 moments, 8."""


@dataclass(frozen=True)
class Estimate:
    """Memory of one rank at its peak, MiB.

    Attributes:
        weights: of the model, frozen and trained.
        gradients: fp32, one a trained value.
        optimiser: its state.
        activations: what the backward pass needs, and the largest temporaries, of the examples of one pass.
        other: libraries and everything else that the process holds already.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float
    other: float

    @property
    def total(self) -> float:
        """The sum, MiB."""
        return float(sum(asdict(self).values()))

    def told(self) -> str:
        """One line."""
        parts = ", ".join(f"{name} {value:,.0f}" for name, value in asdict(self).items())
        return f"memory: about {self.total:,.0f} MiB ({parts})"


def estimate(
    model: nn.Module,
    longest: Batch,
    *,
    batch_size: int,
    device: torch.device,
    trainer: Json,
    bf16: bool = False,
    shards: tuple[int, int, int] = (1, 1, 1),
) -> Estimate:
    """Estimates the peak of a training.

    Args:
        model: adapted, where it will train.
        longest: a batch of one example, the longest.
        batch_size: examples a forward pass.
        device: of the model.
        trainer: `train.trainer`, which may name another optimiser or switch checkpointing on.
        bf16: whether it computes in it.
        shards: over how many ranks optimiser state, gradients and weights are divided.
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for _, parameter in lora.trainable(model))
    each = STATE_BYTES.get(str(trainer.get("optim", "adamw_torch_fused")), 8)
    checkpointing = bool(trainer.get("activation_checkpointing"))
    gc.collect()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        taken = pass_bytes(model, longest, device, checkpointing)
    held = _forget_peak(device) - weights if device.type == "cpu" else 0
    states, gradients, parameters = shards
    return Estimate(
        weights=weights / parameters / MIB,
        gradients=4 * trained / gradients / MIB,
        optimiser=each * trained / states / MIB,
        activations=batch_size * taken / MIB,
        other=max(0, held) / MIB,
    )


def pass_bytes(model: nn.Module, batch: Batch, device: torch.device, checkpointing: bool) -> int:
    """Memory that one pass forward and backward takes beside weights and gradients, at its peak.

    What stays when it is over is not of it: kernels that it loaded. Model, gradients, modes and random generators are
    left as they were found.
    """
    inputs = {name: value.to(device) for name, value in batch.items() if isinstance(value, torch.Tensor)}
    states, training = checkpoints.generator_states(), model.training
    named: Any = model
    if checkpointing:
        named.activation_checkpointing_enable()
    model.train()
    try:
        before = _forget_peak(device)
        answer_loss(model, inputs, count_labels([inputs])).backward()
        peak = int(peak_mib(device) * MIB)
        grads = (parameter.grad for _, parameter in lora.trainable(model) if parameter.grad is not None)
        peak -= sum(grad.numel() * grad.element_size() for grad in grads)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)
        if checkpointing:
            named.activation_checkpointing_disable()
        checkpoints.restore_generators(states)
    return max(0, peak - max(before, _forget_peak(device)))


def _forget_peak(device: torch.device) -> int:
    """Lets the peak begin anew at what is in use now, which is returned in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    _return_freed_memory()
    with suppress(OSError):  # proc(5): 5 resets the peak; where /proc is read-only the pass may count for too little
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return int(_process_mib("VmRSS") * MIB)


def _return_freed_memory() -> None:
    """Has glibc return freed blocks to the system: what it holds back would hide as much of the next pass."""
    with suppress(AttributeError, OSError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def peak_mib(device: torch.device) -> float:
    """Most memory that was in use at once: of the GPU, or of this process where there is none."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else _process_mib("VmHWM")


def _process_mib(name: str) -> float:
    """Memory of this process, MiB, as Linux tells it: VmRSS now, VmHWM at its peak; else the peak for both."""
    status, counted = Path("/proc/self/status"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if not status.exists():
        return counted / MIB  # macOS counts in bytes
    # Not getrusage: Linux hands the peak of the process that started this one on to it, across exec as well.
    _, found, told = status.read_bytes().partition(f"{name}:".encode())
    return (float(told.split(maxsplit=1)[0]) if found else counted) / 2**10  # gVisor tells no peak
