"""The loss: cross entropy of the answers, with the output layer computed at their positions alone."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from finetune.encoding import IGNORED

Batch = dict[str, Any]


def answer_loss(model: Any, batch: Batch, tokens: Tensor | float) -> Tensor:
    """Summed cross entropy of the labelled tokens over `tokens`, the labelled tokens of the whole accumulated batch.

    So one batch of 4 and 4 accumulated batches of 1 give the same gradient, whatever the lengths of their answers.
    Answers are a few per cent of the positions: the output layer runs at the positions that predict a label in any row.

    Args:
        model: forward takes the batch without its labels, and `logits_to_keep` as positions `[kept]`.
        batch: `input_ids`, `attention_mask`, `labels` `[batch, tokens]`, and either pixels or `mm_encoder_outputs`, the
            features of a frozen vision tower as `get_image_features` returns them; both go through one forward.
        tokens: number of labelled tokens in the optimiser step.

    Returns:
        A scalar, fp32.
    """
    labels = batch["labels"][:, 1:]
    kept = (labels != IGNORED).any(dim=0).nonzero().squeeze(-1)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs, logits_to_keep=kept, use_cache=False).logits
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels[:, kept].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return losses / tokens


def count_labels(batches: list[Batch]) -> int:
    """Labelled tokens of the batches of one optimiser step; the first position predicts nothing."""
    return int(sum(torch.count_nonzero(batch["labels"][:, 1:] != IGNORED) for batch in batches))
