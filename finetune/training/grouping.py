"""Batches of samples of like length, where a good part of the work would be padding."""

from collections.abc import Sequence

import numpy as np

WASTE = 0.1
"""Share of padding above which samples are grouped; below it the order stays as it was drawn."""

WINDOW = 32
"""Batches among which samples are sorted: large enough for like lengths, small enough to stay an order by chance."""


def waste(indices: Sequence[int], lengths: Sequence[int], batch_size: int) -> float:
    """Share of the positions that would be padding in this order."""
    batches = [[lengths[i] for i in indices[at : at + batch_size]] for at in range(0, len(indices), batch_size)]
    return 1 - sum(map(sum, batches)) / sum(max(own) * len(own) for own in batches)


def grouped(indices: Sequence[int], lengths: Sequence[int], batch_size: int, random: np.random.Generator) -> list[int]:
    """Sorts samples by length within windows, and puts whole batches back into an order by chance.

    Args:
        indices: samples in the order that was drawn.
        lengths: of each sample, without its answer: batches of like answers would teach something else.
        batch_size: samples a forward pass, over all ranks.
        random: depends on seed and epoch alone.

    Returns:
        the same samples; in the order that was drawn where less than `WASTE` of it is padding, or no less would be.
    """
    drawn = waste(indices, lengths, batch_size)
    if drawn < WASTE:
        return list(indices)
    wide, batches = WINDOW * batch_size, []
    for start in range(0, len(indices), wide):
        near = sorted(indices[start : start + wide], key=lambda index: lengths[index])
        batches += [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
    unfilled = len(batches[-1]) < batch_size
    places = [int(place) for place in random.permutation(len(batches) - unfilled)]
    places += [len(batches) - 1] * unfilled  # an unfilled batch must stay the last
    found = [index for place in places for index in batches[place]]
    return found if waste(found, lengths, batch_size) < drawn else list(indices)
