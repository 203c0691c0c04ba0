"""A copied cache holds what transformers' own would hold after the same tokens, and leaves the prompt's alone."""

import pytest
import torch
from transformers.cache_utils import DynamicCache, DynamicSlidingWindowLayer

from finetune import roomy_cache


def drawn(seed, tokens, rows=2):
    return [torch.randn(rows, 3, tokens, 4, generator=torch.Generator().manual_seed(seed + side)) for side in (0, 99)]


def prompts(tokens=5, layers=2):
    cache = DynamicCache()
    for layer in range(layers):
        cache.update(*drawn(layer, tokens), layer)
    return cache


@pytest.mark.parametrize(
    ("room", "steps"), [(3, [1, 1, 1]), (1, [2, 1, 4]), (500, [1, roomy_cache.CHUNK_TOKENS + 9, 1])]
)
def test_it_grows_as_the_usual_cache_does(room, steps):
    """Within the room, beyond it, and with more room asked for than is set aside at once."""
    usual, roomy = prompts(), roomy_cache.copied(prompts(), room)
    for number, step in enumerate(steps):
        for layer in range(2):
            new = drawn(10 + number + layer, step)
            for got, wanted in zip(roomy.update(*new, layer), usual.update(*new, layer), strict=True):
                assert torch.equal(got, wanted)
        assert roomy.get_seq_length() == usual.get_seq_length() == 5 + sum(steps[: number + 1])


def test_rows_are_picked_and_repeated_and_the_prompt_stays():
    cache, rows = prompts(), torch.tensor([1, 0, 1])
    before = cache.layers[0].keys.clone()
    copied = roomy_cache.copied(cache, 2, rows)
    new = drawn(7, 1, rows=3)
    keys, _ = copied.update(*new, 0)
    assert torch.equal(keys, torch.cat([before[rows], new[0]], dim=-2))
    assert torch.equal(cache.layers[0].keys, before)
    assert cache.get_seq_length() == 5


def test_within_the_room_nothing_is_copied_again():
    copied = roomy_cache.copied(prompts(), 4)
    first, _ = copied.update(*drawn(3, 1), 0)
    second, _ = copied.update(*drawn(4, 1), 0)
    assert first.data_ptr() == second.data_ptr()


def test_another_kind_of_layer_is_copied_whole():
    cache = prompts()
    sliding = DynamicSlidingWindowLayer(sliding_window=4)
    sliding.update(*drawn(1, 3))
    cache.layers[1] = sliding
    copied = roomy_cache.copied(cache, 2, torch.tensor([1]))
    assert type(copied.layers[1]) is DynamicSlidingWindowLayer
    assert torch.equal(copied.layers[1].keys, sliding.keys[1:])
    assert len(sliding.keys) == 2
