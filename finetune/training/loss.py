"""The loss: cross entropy of the answers, with the output layer at their positions alone."""

from typing import Any

from torch import Tensor
from torch.nn import functional

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
