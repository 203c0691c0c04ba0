"""Keeps frozen parts of a model out of the autograd graph."""

from typing import Any

import torch
from torch import nn

from finetune.families._base import Family, roots


def without_graph(model: nn.Module, family: Family) -> None:
    """Runs the vision tower under `no_grad` whenever nothing in it can learn.

    Frozen parameters alone do not do that: gradient checkpointing makes PEFT mark the embeddings' outputs as
    differentiable, and then every activation of the frozen tower is kept. Whether it applies is decided in each
    forward, so a tower that is unfrozen later learns.

    Args:
        model: the base model (inside PEFT's wrapper).
        family: names the tower.
    """
    for _, tower in roots(family, "vision_tower", model):
        tower.forward = _Guarded(tower)


class _Guarded:
    """The forward of a module, without a graph where neither its parameters nor its inputs need one."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.forward = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        learns = any(parameter.requires_grad for parameter in self.module.parameters())
        if learns or any(value.requires_grad for value in inputs):
            return self.forward(*args, **kwargs)
        with torch.no_grad():
            return self.forward(*args, **kwargs)
