"""The training loop that all phases share: fp32 master weights, schedule, checkpoints, progress.

A step is a pure function of the state and of the step number, and batches are a pure function of the step number, so a
run that is stopped and started again continues bit for bit.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

CHECKPOINT_EVERY_S = 120.0


@dataclass(frozen=True)
class Schedule:
    """Length and rate of one phase: linear warm-up, then a cosine down to a hundredth of `learning_rate`."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float = 0.05

    def rate(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class MasterWeights:
    """AdamW on fp32 copies of the trainable parameters of modules that compute in bf16."""

    def __init__(self, modules: dict[str, nn.Module], weight_decay: float) -> None:
        """Copy what is trainable in `modules`; matrices decay by `weight_decay`, vectors do not."""
        named = [(f"{key}.{name}", p) for key, m in modules.items() for name, p in m.named_parameters()]
        self.live = {name: p for name, p in named if p.requires_grad}
        self.master = {name: p.detach().float().clone() for name, p in self.live.items()}
        decayed = [p for p in self.master.values() if p.ndim > 1]
        plain = [p for p in self.master.values() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Apply the gradients of the live parameters; returns their norm before clipping at 1."""
        for name, parameter in self.live.items():
            gradient = parameter.grad
            self.master[name].grad = torch.zeros_like(self.master[name]) if gradient is None else gradient.float()
            parameter.grad = None
        average_over_processes([value.grad for value in self.master.values() if value.grad is not None])
        norm = nn.utils.clip_grad_norm_(list(self.master.values()), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.publish()
        return float(norm)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the master weights into the live parameters."""
        for name, parameter in self.live.items():
            parameter.copy_(self.master[name])

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on."""
        return {"master": self.master, "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        for name, value in self.master.items():
            value.copy_(state["master"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.publish()


def rank() -> int:
    """Number of this process, 0 where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average_over_processes(gradients: list[Tensor]) -> None:
    """Replace each gradient by its mean over all processes, in one message."""
    if processes() == 1:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes()
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


class _Window:
    """Indices of this process's batches from step `first` on: what is left of a stream after a resume."""

    def __init__(self, first: int, steps: int, batch_size: int) -> None:
        self.first, self.steps, self.batch_size = first, steps, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // processes()
        for step in range(self.first, self.steps):
            start = step * self.batch_size + rank() * share
            yield list(range(start, start + share))

    def __len__(self) -> int:
        return self.steps - self.first


def save_atomic(value: Any, path: Path) -> None:
    """`torch.save` that never leaves half a file under `path`."""
    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    os.replace(partial, path)


def run_phase(
    name: str,
    folder: Path,
    weights: MasterWeights,
    schedule: Schedule,
    data: Dataset[Any],
    loss_of: Callable[[Any], Tensor],
    *,
    collate: Callable[[list[Any]], Any] | None = None,
    probe_every: int = 500,
    probe: Callable[[], dict[str, float]] | None = None,
    stop_after: int | None = None,
) -> list[float]:
    """Train one phase from its newest checkpoint on, or restore it when it is done; returns the losses of this call.

    `stop_after` ends the call after that many steps with a checkpoint, as an interruption would.
    """
    path = folder / f"{name}.pt"
    first, spent = 0, 0.0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        weights.restore(saved["weights"])
        first, spent = saved["step"], saved["seconds"]
    last = schedule.steps if stop_after is None else min(schedule.steps, first + stop_after)
    losses: list[float] = []
    loader = DataLoader(data, batch_sampler=_Window(first, last, schedule.batch_size), collate_fn=collate)
    started = saved_at = time.monotonic()
    bar = tqdm(
        loader, desc=name, initial=first, total=schedule.steps, file=sys.stderr, mininterval=10.0, disable=rank() > 0
    )
    for step, batch in enumerate(bar, start=first):
        loss = loss_of(batch)
        loss.backward()
        norm = weights.step(schedule.rate(step))
        losses.append(float(loss.detach()))
        if step % 20 == 0:
            bar.set_postfix(loss=f"{sum(losses[-50:]) / len(losses[-50:]):.3f}", grad=f"{norm:.2f}", refresh=False)
        done = step + 1
        if rank() > 0:
            continue
        if probe is not None and (done % probe_every == 0 or done == schedule.steps):
            record = {"phase": name, "step": done, "seconds": spent + time.monotonic() - started, **probe()}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}) + "\n")
        if done == last or time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
            saved_at = time.monotonic()
            seconds = spent + saved_at - started
            save_atomic({"weights": weights.state(), "step": done, "seconds": seconds}, path)
    return losses
