"""Layers that compute what the library's do in fewer steps: on a CPU each is another way through memory and back.

The wider the layers, the less it gains, for products of matrices are left as they are.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def fuse(model: nn.Module) -> None:
    """Exchanges the forward of layers with LoRA and of norms for one of fewer steps, for the life of the model.

    `fused_rotary` is apart: it changes the library, and so must be undone.

    Args:
        model: adapted, of a single process: divided weights must be asked for through their own modules.
    """
    fuse_lora(model)
    fuse_norms(model)


def fuse_lora(model: nn.Module) -> None:
    """Lets layers with LoRA multiply and add at once, where there is nothing else for them to do.

    The library scales what the two small matrices give and adds it, each over the whole output and each a step to go
    back through. Sums are rounded in another order. Layers with dropout, DoRA, 4-bit weights or weights of lower
    precision keep the library's forward; while the adapter is off or merged, all do.

    Args:
        model: adapted.
    """
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if type(layer) is Linear and _is_plain_lora(layer):
            layer.forward = _Lora(layer)  # type: ignore[assignment]


def _is_plain_lora(layer: Any) -> bool:
    [name, *others] = layer.active_adapters
    first, second, base = layer.lora_A[name], layer.lora_B[name], layer.base_layer
    special = others or layer.lora_variant or second.bias is not None or type(base) is not nn.Linear
    return not special and isinstance(layer.lora_dropout[name], nn.Identity) and base.weight.dtype == first.weight.dtype


class _Lora:
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


def fuse_norms(model: nn.Module) -> None:
    """Lets root mean square norms go back in five steps, where autograd takes each step forward apart.

    Forward they give the same bits, which is tried for each before it is changed, so that those of another form (Gemma
    adds 1 to the weight) stay as they are. Where the weight learns, or values have another precision, the library's
    forward runs.

    Args:
        model: its norms on a CPU, in fp32; others stay as they are.
    """
    for module in model.modules():
        if "forward" not in vars(module) and _is_norm(module):
            module.forward = _Norm(module)


def _is_norm(module: Any) -> bool:
    weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if not (isinstance(epsilon, float) and isinstance(weight, Tensor) and weight.ndim == 1 and _is_fp32_on_cpu(weight)):
        return False
    probe = torch.linspace(-2, 3, len(weight)).unsqueeze(0)
    with torch.no_grad():
        return _same(lambda: (module(probe),), lambda: (_RootMeanSquare.apply(probe, weight, epsilon),))


def _same(library: Callable[[], Sequence[Tensor]], ours: Callable[[], Sequence[Tensor]]) -> bool:
    """Whether both give the same bits; where the library's cannot even be called like this, it is of another form."""
    try:
        pairs = list(zip(library(), ours(), strict=True))
        return all(torch.equal(one, other) for one, other in pairs)
    except Exception:  # of whatever form: a training goes on without what only makes it faster
        return False


def _is_fp32_on_cpu(value: Tensor) -> bool:
    return value.dtype == torch.float32 and value.device.type == "cpu"


class _Norm:
    """The forward of a root mean square norm whose weight is frozen."""

    def __init__(self, module: Any) -> None:
        self.module, self.library = module, module.forward

    def __call__(self, hidden_states: Tensor) -> Tensor:
        weight: Tensor = self.module.weight
        if weight.requires_grad or not _is_fp32_on_cpu(hidden_states):
            library: Callable[..., Tensor] = self.library
            return library(hidden_states)
        normed: Tensor = _RootMeanSquare.apply(hidden_states, weight, self.module.variance_epsilon)
        return normed


class _RootMeanSquare(torch.autograd.Function):
    """`y = w n`, `n = x r`, `r = 1 / sqrt(mean(x^2) + epsilon)`; backward `dx = r (g - n mean(g n))`, `g = w dy`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Of `[..., width]`, in the order of the library."""
        inverse = hidden.pow(2).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        normed = hidden * inverse
        ctx.save_for_backward(normed, weight, inverse)
        return weight * normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """To the values alone."""
        normed, weight, inverse = ctx.saved_tensors
        scaled = gradient * weight
        along = (scaled * normed).mean(-1, keepdim=True)
        return scaled.addcmul_(normed, along, value=-1).mul_(inverse), None, None


ROTATION = "apply_rotary_pos_emb"
"""Name of the function that turns queries and keys by their positions, in each file of the library that has one."""


@contextmanager
def fused_rotary(model: nn.Module) -> Iterator[None]:
    """Lets queries and keys be turned by halves in place, forward with the same bits, and turned back at once.

    The function belongs to the library's file and not to a model. It is exchanged where a trial gives the same bits,
    hands on what it was not made for, and is put back at the end.

    Args:
        model: the files of its layers are looked through.
    """
    homes: list[Any] = [sys.modules.get(name) for name in {type(module).__module__ for module in model.modules()}]
    found = [(home, getattr(home, ROTATION, None)) for home in homes]
    exchanged = [(home, library) for home, library in found if inspect.isfunction(library) and _turns_halves(library)]
    for home, library in exchanged:
        setattr(home, ROTATION, _Rotation(library))
    try:
        yield
    finally:
        for home, library in exchanged:
            setattr(home, ROTATION, library)


def _turns_halves(library: Callable[..., Any]) -> bool:
    queries, keys = torch.linspace(-2, 3, 48).view(1, 2, 3, 8), torch.linspace(-1, 2, 24).view(1, 1, 3, 8)
    angles = torch.linspace(0, 4, 24).view(1, 3, 8)
    given = queries, keys, angles.cos(), angles.sin()
    return _same(lambda: library(*given), lambda: _turned(*given))


class _Rotation:
    """Stands for the library's function; called with more, or with values of another form, it is the library's."""

    def __init__(self, library: Callable[..., Any]) -> None:
        self.library = library

    def __call__(self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **named: Any) -> Any:
        """Queries and keys `[batch, heads, tokens, width]`, cosines and sines `[batch, tokens, width]`."""
        if args or named or not _is_whole_turn(q, k, cos, sin):
            return self.library(q, k, cos, sin, *args, **named)
        return _turned(q, k, cos, sin)


def _is_whole_turn(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Whether all of each head is turned, token by token, and in fp32; Qwen3.5 turns a part of it."""
    if (q.ndim, k.ndim, cos.ndim) != (4, 4, 3) or not all(map(_is_fp32_on_cpu, (q, k, cos, sin))):
        return False
    return q.shape[2:] == k.shape[2:] == cos.shape[1:] == sin.shape[1:]


def _turned(q: Tensor, k: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)
    turned: list[Tensor] = [_Turn.apply(value, cosine, sine) for value in (q, k)]
    return turned[0], turned[1]


class _Turn(torch.autograd.Function):
    """`(a, b) -> (a cos - b sin, b cos + a sin)` of the halves of the last dimension; backward by the other way."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Products are rounded before they are added, as the library's are."""
        ctx.save_for_backward(cosine, sine)
        (first, second), (of_first, of_second) = value.chunk(2, dim=-1), sine.chunk(2, dim=-1)
        turned = value * cosine
        left, right = turned.chunk(2, dim=-1)
        left.sub_(second * of_first)
        right.add_(first * of_second)
        return turned

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """To the values alone: positions do not learn."""
        cosine, sine = ctx.saved_tensors
        (first, second), (of_first, of_second) = gradient.chunk(2, dim=-1), sine.chunk(2, dim=-1)
        turned = gradient * cosine
        left, right = turned.chunk(2, dim=-1)
        left.addcmul_(second, of_second)
        right.addcmul_(first, of_first, value=-1)
        return turned, None, None
