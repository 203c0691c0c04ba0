"""Spares a training what the libraries do each step and what changes nothing, or the rounding alone.

In a profile of the embedded model's training they were a third of the time; of a large model's they are nothing.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

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


def fuse_lora(model: nn.Module) -> None:
    """Lets layers with LoRA multiply and add at once, where there is nothing else for them to do.

    The library scales what the two small matrices give and adds it, each over the whole output and each a step to go
    back through. Sums are rounded in another order. Layers with dropout, DoRA, 4-bit weights or weights of lower
    precision keep the library's forward; while the adapter is off or merged, all do.

    Args:
        model: adapted, of a single process: divided weights must be asked for through their own modules.
    """
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if type(layer) is Linear and _is_plain(layer):
            layer.forward = _Fused(layer)  # type: ignore[assignment]


def _is_plain(layer: Any) -> bool:
    [name, *others] = layer.active_adapters
    first, second, base = layer.lora_A[name], layer.lora_B[name], layer.base_layer
    special = others or layer.lora_variant or second.bias is not None or type(base) is not nn.Linear
    return not special and isinstance(layer.lora_dropout[name], nn.Identity) and base.weight.dtype == first.weight.dtype


class _Fused:
    """The forward of a layer `W x + s B A x`, the second product added by the multiplication itself."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.base, self.library = layer, layer.base_layer, layer.forward
        [name] = layer.active_adapters
        self.first, self.second = layer.lora_A[name].weight, layer.lora_B[name].weight
        self.scaling: float = layer.scaling[name]

    def __call__(self, hidden: Tensor, *args: Any, **named: Any) -> Tensor:
        if args or named or self.layer.disable_adapters or self.layer.merged:
            library: Callable[..., Tensor] = self.library
            return library(hidden, *args, **named)
        flat = hidden.flatten(0, -2)
        whole, low = self.base(flat), torch.mm(flat, self.first.t())
        joined = torch.addmm(whole, low, self.second.t(), alpha=self.scaling)
        return joined.view(*hidden.shape[:-1], joined.shape[-1])
