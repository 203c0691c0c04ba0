"""How much memory a training will take, told before its first step, and how much it has taken.

Weights, gradients and optimiser state are arithmetic. Activations depend on architecture, method, checkpointing and
kernels, so one example, the longest, goes forward and backward once while every tensor that lives is counted; what its
graph needs grows with the examples of a pass.
"""

import resource
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    each = STATE_BYTES.get(str(trainer.get("optim", "adamw_torch")), 8)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        each_example = activation_bytes(model, longest, device, bool(trainer.get("activation_checkpointing")))
    held = _resident_bytes() - weights if device.type == "cpu" else 0
    states, gradients, parameters = shards
    return Estimate(
        weights=weights / parameters / MIB,
        gradients=4 * trained / gradients / MIB,
        optimiser=each * trained / states / MIB,
        activations=batch_size * each_example / MIB,
        other=max(0, held) / MIB,
    )


def activation_bytes(model: nn.Module, batch: Batch, device: torch.device, checkpointing: bool) -> int:
    """Most bytes that live at once beside weights and gradients while one batch goes forward and backward.

    Model, gradients, modes and random generators are left as they were found.
    """
    inputs = {name: value.to(device) for name, value in batch.items() if isinstance(value, torch.Tensor)}
    states, training = checkpoints.generator_states(), model.training
    named: Any = model
    if checkpointing:
        named.activation_checkpointing_enable()
    model.train()
    try:
        with _Ledger() as ledger:
            answer_loss(model, inputs, count_labels([inputs])).backward()
        gradients = [parameter.grad for _, parameter in lora.trainable(model) if parameter.grad is not None]
        peak: int = ledger.peak(without=gradients)
        return peak
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)
        if checkpointing:
            named.activation_checkpointing_disable()
        checkpoints.restore_generators(states)


class _Ledger(TorchDispatchMode):
    """Notes when the storage of each new tensor comes and goes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[tuple[int, int]] = []
        self._numbers: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
        }
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in given:
                self._comes(leaf.untyped_storage())
        return made

    def _comes(self, storage: torch.UntypedStorage) -> None:
        place, number, size = storage._cdata, len(self.events), storage.nbytes()
        if place in self._numbers:
            return
        self._numbers[place] = number
        self.events.append((number, size))
        weakref.finalize(storage, self._goes, place, number, size)

    def _goes(self, place: int, number: int, size: int) -> None:
        if self._numbers.get(place) == number:
            del self._numbers[place]
        self.events.append((number, -size))

    def peak(self, without: Sequence[torch.Tensor]) -> int:
        """The largest sum of living bytes; gradients, which outlive the pass, are counted elsewhere."""
        left_out = {self._numbers.get(gradient.untyped_storage()._cdata) for gradient in without}
        most = living = 0
        for number, size in self.events:
            if number not in left_out:
                living += size
                most = max(most, living)
        return most


def _resident_bytes() -> int:
    """Memory of this process now, on Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def peak_mib(device: torch.device) -> float:
    """Most memory that was in use at once: of the GPU, or of this process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    if not status.exists():  # macOS counts in bytes, and from the process's own start
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    # Not getrusage: Linux hands the peak of the process that started this one on to it, across exec as well.
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return float(lines["VmHWM"].split()[0]) / 2**10
