"""One prefill of the prompt, reused: every label is scored and the answer is generated from the same KV cache."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CACHED_TOKENS = 2**16
"""Most prompt tokens, over all (example, label) rows of one forward pass: bounds the memory of the repeated cache."""


@dataclass(frozen=True)
class Prefix:
    """A batch of prompts that went through the model once.

    Attributes:
        cache: keys and values of the prompt; copied before each use, since a forward pass appends to it.
        logits: `[examples, vocabulary]` after the last prompt token.
        mask: `[examples, tokens]`, 1 where a prompt token stands; padding is on the left.
    """

    cache: Any
    logits: Tensor
    mask: Tensor


def prefill(model: Any, inputs: dict[str, Tensor]) -> Prefix:
    """Runs left-padded prompts, images included, through the model once.

    Positions count real tokens, so that an answer does not depend on how much padding its batch needed.
    """
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    return Prefix(output.past_key_values, output.logits[:, -1].float(), mask)


def continuation_scores(model: Any, prefix: Prefix, answers: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Log-probability of whole answers, summed over their tokens, without length normalisation.

    Args:
        model: answers `model(input_ids, attention_mask, position_ids, past_key_values)`.
        prefix: the prompts of the same examples.
        answers: `answers[example][label]`, token ids with the end token; every example has as many labels.

    Returns:
        `[examples, labels]`, float32 on the CPU.
    """
    labels = len(answers[0])
    step = max(1, CACHED_TOKENS // prefix.mask.numel())
    parts = [
        _score_rows(model, prefix, [row[start : start + step] for row in answers]) for start in range(0, labels, step)
    ]
    return torch.cat(parts, dim=1).cpu()


def _score_rows(model: Any, prefix: Prefix, answers: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    examples, labels = len(answers), len(answers[0])
    rows = [ids for row in answers for ids in row]
    longest = max(map(len, rows))
    device = prefix.mask.device
    tokens = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in rows], device=device)
    valid = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows], device=device)
    logits = prefix.logits.repeat_interleave(labels, 0).unsqueeze(1)
    if longest > 1:
        cache = copy.deepcopy(prefix.cache)
        cache.batch_repeat_interleave(labels)
        mask = prefix.mask.repeat_interleave(labels, 0)
        start = mask.sum(-1, keepdim=True)
        output = model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([mask, valid[:, :-1].to(mask.dtype)], dim=1),
            position_ids=start + torch.arange(longest - 1, device=device),
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([logits, output.logits.float()], dim=1)
    each = logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return (each * valid).sum(-1).view(examples, labels)


def greedy(model: Any, prefix: Prefix, ends: set[int], limit: int) -> list[tuple[list[int], bool]]:
    """Greedy answers, token by token, the whole batch at once.

    Args:
        model: see `continuation_scores`.
        prefix: the prompts.
        ends: ids of the tokens that end an answer.
        limit: most tokens of an answer, the end token included.

    Returns:
        For every example its token ids without the end token, and whether it ended by itself.
    """
    cache, mask, logits = copy.deepcopy(prefix.cache), prefix.mask, prefix.logits
    stop = torch.tensor(sorted(ends), device=mask.device)
    done = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    chosen: list[Tensor] = []
    while True:
        token = logits.argmax(-1)
        chosen.append(token)
        done = done | torch.isin(token, stop)
        if bool(done.all()) or len(chosen) == limit:
            break
        position = mask.sum(-1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        output = model(
            input_ids=token.unsqueeze(-1),
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        logits = output.logits[:, -1].float()
    return [_until_end(row, ends) for row in torch.stack(chosen, dim=1).tolist()]


def _until_end(ids: list[int], ends: set[int]) -> tuple[list[int], bool]:
    for index, token in enumerate(ids):
        if token in ends:
            return ids[:index], True
    return ids, False
