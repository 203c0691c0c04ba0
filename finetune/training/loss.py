"""The loss: cross entropy of the answers, with output layer and last decoder layer at their positions alone."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from finetune.families._base import Family, component_of
from finetune.models.encoding import IGNORED

Batch = dict[str, Any]


def answer_loss(model: Any, batch: Batch, tokens: Tensor | float) -> Tensor:
    """Summed cross entropy of the labelled tokens over `tokens`, the labelled tokens of the whole accumulated batch.

    So one batch of 4 and 4 accumulated batches of 1 give the same gradient, whatever the lengths of their answers.
    Answers are a few per cent of the positions: the output layer runs at the positions that predict a label in any row.

    Args:
        model: forward takes the batch without its labels, and `logits_to_keep` as positions `[kept]`.
        batch: `input_ids`, `attention_mask`, `labels` `[batch, tokens]`, and either pixels or `mm_encoder_outputs`, the
            features of a frozen vision tower as `get_image_features` returns them; both go through one forward.
            `weights` `[batch]`, where there are any, multiply the losses of each row.
        tokens: number of labelled tokens in the optimiser step.

    Returns:
        A scalar, fp32.
    """
    labels = batch["labels"][:, 1:]
    wanted = (labels != IGNORED).any(dim=0)
    wanted[-1] |= ~wanted.any()  # a batch without weight still goes through the output layer, as the other ranks do
    kept = wanted.nonzero().squeeze(-1)
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "weights")}
    logits = model(**inputs, logits_to_keep=kept, use_cache=False).logits
    if logits.shape[1] != len(kept):  # an architecture whose output layer runs everywhere (MiniCPM-V)
        logits = logits[:, kept]
    flat, gold = logits.flatten(0, 1).float(), labels[:, kept]
    if "weights" not in batch:
        return functional.cross_entropy(flat, gold.flatten(), ignore_index=IGNORED, reduction="sum") / tokens
    losses = functional.cross_entropy(flat, gold.flatten(), ignore_index=IGNORED, reduction="none")
    weights: Tensor = batch["weights"]
    return (losses.view_as(gold) * weights.unsqueeze(-1)).sum() / tokens


def count_labels(batches: list[Batch]) -> float:
    """Labelled tokens of the batches of one optimiser step, each with the weight of its row.

    The first position predicts nothing.
    """
    counts = ((batch, (batch["labels"][:, 1:] != IGNORED).sum(dim=1)) for batch in batches)
    return float(sum((count * batch.get("weights", 1)).sum() for batch, count in counts))


def last_layer_at_labels(model: nn.Module, family: Family) -> None:
    """Runs the feed-forward part of the last decoder layer, and the projection before it, where the loss looks.

    Behind them positions do not meet again: what is left out is read by nobody, and loss and gradients are the same.
    Decided in each forward: with positions in `logits_to_keep` it happens, with a number or none everything runs.
    Layers of experts and of unknown form stay as they are.

    Args:
        model: the base model (inside PEFT's wrapper), with its adapter.
        family: names the language model.
    """
    asked = _Asked()
    found = False
    for name, layers in model.named_modules():
        if not (isinstance(layers, nn.ModuleList) and name.rpartition(".")[2] == "layers" and len(layers)):
            continue
        if component_of(family, name) != "language_model":
            continue
        last: Any = layers[-1]
        parts = [getattr(last, "mlp", None), getattr(getattr(last, "self_attn", None), "o_proj", None)]
        for part in (part for part in parts if isinstance(part, nn.Module) and _is_dense(part)):
            part.forward = _AtPositions(part.forward, asked)
            found = True
    if found:
        model.register_forward_pre_hook(asked.note, with_kwargs=True)


def _is_dense(module: nn.Module) -> bool:
    """Whether each position is computed alone and by the same weights: no experts."""
    experts = (isinstance(inner, nn.ModuleList) for inner in module.modules())
    return not any(experts) and all(parameter.ndim < 3 for parameter in module.parameters())


class _Asked:
    """Positions that the present forward pass is asked for; also those of a checkpoint that is computed again."""

    positions: Tensor | None = None

    def note(self, module: nn.Module, args: Any, kwargs: Batch) -> None:
        """Before each forward of the model."""
        kept = kwargs.get("logits_to_keep")
        self.positions = kept if isinstance(kept, Tensor) else None


class _AtPositions:
    """A forward over `[batch, tokens, width]` that computes some tokens and leaves zeros at the others."""

    def __init__(self, forward: Callable[[Tensor], Tensor], asked: _Asked) -> None:
        self.forward, self.asked = forward, asked

    def __call__(self, hidden: Tensor) -> Tensor:
        kept = self.asked.positions
        if kept is None or hidden.ndim != 3:
            return self.forward(hidden)
        some = self.forward(hidden[:, kept])
        return some.new_zeros((*hidden.shape[:2], some.shape[-1])).index_copy(1, kept, some)
