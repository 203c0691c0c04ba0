"""A copy of a KV cache with room for the tokens of an answer, which are written into it instead of copying it again."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

CHUNK_TOKENS = 64
"""Most room that is set aside at once, so that a long limit which no answer reaches costs no memory."""


class RoomyLayer(DynamicLayer):
    """Keys and values `[rows, heads, tokens, size]` at the beginning of larger buffers.

    Args:
        keys: of the prompt.
        values: of the prompt.
        room: tokens that may follow before the buffers have to grow.
        rows: which rows of the prompt, in order; None = each once.
    """

    def __init__(self, keys: Tensor, values: Tensor, room: int, rows: Tensor | None = None) -> None:
        """Copies the prompt into the buffers."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        kept = [side if rows is None else side[rows] for side in (keys, values)]
        self._buffers = [_roomier(side, room) for side in kept]
        self._show(keys.shape[-2])

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Writes new tokens behind the others; returns views of everything so far."""
        assert self.keys is not None
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            room = end - start + CHUNK_TOKENS
            self._buffers = [_roomier(buffer[..., :start, :], room) for buffer in self._buffers]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = states
        return self._show(end)

    def _show(self, end: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (buffer[..., :end, :] for buffer in self._buffers)
        return self.keys, self.values


def _roomier(side: Tensor, room: int) -> Tensor:
    tokens = side.shape[-2]
    buffer = torch.empty((*side.shape[:-2], tokens + room, side.shape[-1]), dtype=side.dtype, device=side.device)
    buffer[..., :tokens, :] = side
    return buffer


def copied(cache: Any, tokens: int, rows: Tensor | None = None) -> Any:
    """A copy to which about `tokens` tokens can be appended without copying; the given cache stays as it is.

    Args:
        cache: of prompts. Layers of another kind than the plain growing one (a sliding window) are copied whole.
        tokens: that are expected.
        rows: prompts to keep, in order, which may repeat; None = all.
    """
    if type(cache) is not DynamicCache:
        return _plain(cache, rows)
    found = copy.copy(cache)
    found.layers = [_layer(layer, min(tokens, CHUNK_TOKENS), rows) for layer in cache.layers]
    return found


def _layer(layer: Any, room: int, rows: Tensor | None) -> Any:
    if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None or not layer.keys.numel():
        return _plain(layer, rows)
    return RoomyLayer(layer.keys, layer.values, room, rows)


def _plain(whole: Any, rows: Tensor | None) -> Any:
    found = copy.deepcopy(whole)
    if rows is not None and "batch_select_indices" in dir(found):
        found.batch_select_indices(rows)
    elif rows is not None:  # the states of linear attention, which are reordered for beams and selected by nothing
        found.reorder_cache(rows)
    return found
