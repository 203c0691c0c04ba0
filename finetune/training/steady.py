"""Spares a training what the libraries do each step and what changes nothing: a small model waits for it."""

from functools import cache
from typing import Any

from torch import nn

from finetune.training import lora


class Learning(nn.ParameterList):
    """The weights that learn, as a module: gradients are cleared and clipped here and not over all weights.

    Args:
        model: adapted; until the end of the training no weight begins or ends to learn.
    """

    def __init__(self, model: nn.Module) -> None:
        """Looks through the model once."""
        super().__init__([parameter for _, parameter in lora.trainable(model)])


def steady(model: nn.Module, learning: Learning) -> None:
    """Lets `train()` do nothing where the model trains already, and `zero_grad()` look at nothing that is frozen.

    Whoever sets parts of the model to evaluate sets the whole: `eval()` is as it was, and the next `train()` walks.

    Args:
        model: of a single process; an engine of DeepSpeed has ways of its own.
        learning: its weights that learn.
    """
    walk, walked = model.train, False

    def train(mode: bool = True) -> nn.Module:
        nonlocal walked
        if not (mode and walked and model.training):
            walk(mode)
        walked = True
        return model

    own: Any = model
    own.train, own.zero_grad = train, learning.zero_grad


def remember_lomo() -> None:
    """Lets accelerate remember whether an optimiser's package (LOMO) is there: it looks for it twice a step.

    It looks through every folder that packages are imported from, which on the shared disk of a cluster takes a while.
    """
    from accelerate import optimizer

    own: Any = optimizer
    own.is_lomo_available = cache(own.is_lomo_available)
