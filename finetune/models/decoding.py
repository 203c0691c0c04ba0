"""One prefill of the prompt, reused: every label is scored and the answer is generated from the same KV cache."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from finetune.errors import DataError
from finetune.families._base import Family

CACHED_TOKENS = 2**16
"""Most prompt tokens, over all (example, label) rows of one forward pass: bounds the memory of the repeated cache."""


@dataclass(frozen=True)
class Prefix:
    """A batch of prompts that went through the model once.

    Attributes:
        cache: keys and values of the prompt; copied before each use, since a forward pass appends to it.
        logits: `[examples, vocabulary]` after the last prompt token.
        mask: `[examples, tokens]`, 1 where a prompt token stands; padding is on the left.
        next: `[examples, 1]`, position of the token after the prompt.
        axes: how many positions a token has: 1, or 3 (time, height, width) in the M-RoPE families.
        carried: inputs that hold for every token of an answer, `[examples, 1, ...]` (a mask over the image).
        repeated: inputs that are given again with every token of an answer, `[examples, ...]`, or one entry an image
            where all examples have as many.
    """

    cache: Any
    logits: Tensor
    mask: Tensor
    next: Tensor
    axes: int = 1
    carried: Mapping[str, Tensor] = field(default_factory=dict)
    repeated: Mapping[str, Tensor] = field(default_factory=dict)

    def more(self, tokens: int, rows: Tensor | None = None) -> dict[str, Tensor]:
        """The further inputs of `tokens` tokens of an answer; `rows` as in `positions`."""
        picked = {name: value if rows is None else value[rows] for name, value in self.carried.items()}
        found = {name: value.expand(-1, tokens, *value.shape[2:]) for name, value in picked.items()}
        if rows is None:
            return found | dict(self.repeated)
        own = {name: value.unflatten(0, (len(self.mask), -1)) for name, value in self.repeated.items()}
        return found | {name: value[rows].flatten(0, 1) for name, value in own.items()}

    def positions(self, start: int, tokens: int, rows: Tensor | None = None) -> Tensor:
        """Positions of `tokens` tokens that follow the prompt after `start` others.

        Text moves along all axes alike, so every axis gets the same.

        Args:
            start: tokens of the answer that are in the cache already.
            tokens: how many are fed now.
            rows: `[rows]`, the example of each row; None = one row an example.

        Returns:
            `[rows, tokens]`, or `[3, rows, tokens]`.
        """
        first = (self.next if rows is None else self.next[rows]) + start
        found = first + torch.arange(tokens, device=first.device)
        return found if self.axes == 1 else found.expand(self.axes, -1, -1)


def prefill(model: Any, inputs: dict[str, Any], family: Family | None = None) -> Prefix:
    """Runs left-padded prompts, images included, through the model once.

    The family says which inputs hold for the tokens of an answer too (`carried_inputs`, `repeated_inputs`). Positions
    count real tokens, so that an answer does not depend on how much padding its batch needed. Features in the place of
    pixels (`mm_encoder_outputs`) are on the model's device already.
    """
    device = next(model.parameters()).device
    inputs = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}
    mask = inputs["attention_mask"]
    positions = _positions(model, inputs)
    output = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    axes = 1 if positions.ndim == 2 else len(positions)
    last = positions.view(axes, *mask.shape).masked_fill(mask == 0, -1).amax(dim=(0, 2)).unsqueeze(-1)
    return Prefix(
        output[_cache_name(model)], output.logits[:, -1].float(), mask, last + 1, axes, *_held(inputs, family)
    )


def _held(inputs: dict[str, Tensor], family: Family | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs that go on with an answer: the last row of some, the whole of others."""
    if family is None:
        return {}, {}
    carried = {name: inputs[name][:, -1:] for name in family.carried_inputs if name in inputs}
    return carried, {name: inputs[name] for name in family.repeated_inputs if name in inputs}


def _cache_name(model: Any) -> str:
    """What the model calls its cache: `past_key_values` before transformers 5.24, which renames it and warns of it."""
    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    return "cache" if "cache" in inspect.signature(whole.forward).parameters else "past_key_values"


def _positions(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Positions of prompt tokens: a running number, or those of the M-RoPE families (Qwen-VL, GLM-4V) on three axes.

    Those families place an image on a grid; the model itself says how (`get_rope_index`). Left to find out by itself
    while a cache is in use, it would go on from positions that it remembers of an earlier batch.

    Raises:
        DataError: there is an image, but the processor does not say which tokens are its (`mm_token_type_ids`); the
            model would then silently take text positions.
    """
    mask: Tensor = inputs["attention_mask"]
    inner: Any = (model.get_base_model() if isinstance(model, PeftModel) else model).base_model
    if "get_rope_index" not in dir(inner):
        return (mask.cumsum(-1) - 1).clamp(min=0)
    grids = {name: inputs[name] for name in ("image_grid_thw", "video_grid_thw") if name in inputs}
    if grids and "mm_token_type_ids" not in inputs:
        raise DataError(
            "the processor gave an image grid but no mm_token_type_ids, without which this model does not know where "
            "its images stand; use a processor of transformers 5.3 or later."
        )
    kinds = inputs.get("mm_token_type_ids", torch.zeros_like(inputs["input_ids"]))
    positions: Tensor = inner.get_rope_index(inputs["input_ids"], kinds, attention_mask=mask, **grids)[0]
    return positions


def continuation_scores(model: Any, prefix: Prefix, answers: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Log-probability of whole answers, summed over their tokens, without length normalisation.

    Args:
        model: answers `model(input_ids, attention_mask, position_ids, cache)`.
        prefix: the prompts of the same examples.
        answers: `answers[example][label]`, token ids with the end token; examples may have different numbers of labels.

    Returns:
        `[examples, labels]`, float32 on the CPU; -inf where an example has fewer labels than another.
    """
    found = torch.full((len(answers), max(map(len, answers))), -torch.inf)
    step = max(1, CACHED_TOKENS // prefix.mask.shape[1])
    places = [(index, label) for index, row in enumerate(answers) for label in range(len(row))]
    places.sort(key=lambda place: len(answers[place[0]][place[1]]))  # answers of one length together: little padding
    for start in range(0, len(places), step):
        own = places[start : start + step]
        scores = _score_rows(model, prefix, [(index, answers[index][label]) for index, label in own])
        rows, labels = torch.tensor(own).T
        found[rows, labels] = scores.cpu()
    return found


def _score_rows(model: Any, prefix: Prefix, rows: Sequence[tuple[int, Sequence[int]]]) -> Tensor:
    """Log-probability of each (example, token ids), `[rows]`."""
    longest = max(len(ids) for _, ids in rows)
    device = prefix.mask.device
    index = torch.tensor([example for example, _ in rows], device=device)
    tokens = torch.tensor([[*ids, *[0] * (longest - len(ids))] for _, ids in rows], device=device)
    valid = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for _, ids in rows], device=device)
    each = _chosen(prefix.logits[index].unsqueeze(1), tokens[:, :1])
    if longest > 1:
        output = model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([prefix.mask[index], valid[:, :-1].to(prefix.mask.dtype)], dim=1),
            position_ids=prefix.positions(0, longest - 1, index),
            use_cache=True,
            **{_cache_name(model): _copy_cache(prefix.cache, index)},
            **prefix.more(longest - 1, index),
        )
        each = torch.cat([each, _chosen(output.logits, tokens[:, 1:])], dim=1)
    return (each * valid).sum(-1)


def _copy_cache(cache: Any, rows: Tensor | None = None) -> Any:
    """A copy of a KV cache, since a forward pass appends to the one that it is given.

    Args:
        cache: of a batch of prompts.
        rows: prompts to keep, in order, which may repeat; None = all.
    """
    copied = copy.deepcopy(cache)
    if rows is not None:
        copied.reorder_cache(rows)
    return copied


def _chosen(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of `tokens` `[rows, tokens]` under `logits` `[rows, tokens, vocabulary]`."""
    found: Tensor = logits.float().log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return found


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
    cache, mask, logits = _copy_cache(prefix.cache), prefix.mask, prefix.logits
    stop = torch.tensor(sorted(ends), device=mask.device)
    done = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    chosen: list[Tensor] = []
    while True:
        token = logits.argmax(-1)
        chosen.append(token)
        done = done | torch.isin(token, stop)
        if bool(done.all()) or len(chosen) == limit:
            break
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        output = model(
            input_ids=token.unsqueeze(-1),
            attention_mask=mask,
            position_ids=prefix.positions(len(chosen) - 1, 1),
            use_cache=True,
            **{_cache_name(model): cache},
            **prefix.more(1),
        )
        logits = output.logits[:, -1].float()
    return [_until_end(row, ends) for row in torch.stack(chosen, dim=1).tolist()]


def _until_end(ids: list[int], ends: set[int]) -> tuple[list[int], bool]:
    for index, token in enumerate(ids):
        if token in ends:
            return ids[:index], True
    return ids, False
