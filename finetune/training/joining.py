"""Samples that were encoded one by one, put into one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from finetune.encoding import IGNORED, Encoder


def joined(encoder: Encoder, samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Puts samples that were encoded one by one, without pixels, into one batch, right padded.

    Args:
        encoder: says which inputs go with the tokens.
        samples: of `supervised` for one example each; token by token `[1, tokens]`, or a row for each image.
    """
    widths = [sample["input_ids"].shape[1] for sample in samples]
    fill = {"input_ids": encoder.tokenizer.pad_token_id, "labels": IGNORED}
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for sample in samples for name in sample):
        values = [sample.get(name) for sample in samples]
        known = [(value, width) for value, width in zip(values, widths, strict=True) if value is not None]
        if name in encoder.family.carried_inputs or any(value.shape == (1, width) for value, width in known):
            found[name] = _in_corners(values, max(widths), fill.get(name, 0))
        else:
            found[name] = torch.cat([value for value, _ in known])
    return found


def _in_corners(values: Sequence[Tensor | None], wide: int, fill: int) -> Tensor:
    """`[1, tokens, ...]` of each sample as one tensor, filled up where one is shorter, has fewer images or none."""
    known = [value for value in values if value is not None]
    sizes = torch.tensor([value.shape[2:] for value in known]).amax(dim=0).tolist()
    found = known[0].new_full((len(values), wide, *sizes), fill)
    for row, value in zip(found, values, strict=True):
        if value is not None:
            row[tuple(map(slice, value.shape[1:]))] = value[0]
    return found
