"""Which examples go into which batch: a pure function of (seed, epoch, rank, world, step)."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def order(size: int, seed: int, epoch: int, shuffle: bool) -> list[int]:
    """Indices of all examples in the order of one epoch; the source's own order without `shuffle`."""
    if not shuffle:
        return list(range(size))
    return [int(index) for index in np.random.default_rng([seed, epoch]).permutation(size)]


def batches(
    size: int, batch_size: int, seed: int, epoch: int, shuffle: bool, rank: int = 0, world: int = 1
) -> list[list[int]]:
    """The batches of one rank in one epoch; batch `i` of the list is step `i`.

    Batches are dealt out to ranks in turn, so that two ranks see at one step what one rank sees at two. Every example
    occurs once; with several ranks the last round is filled up from the epoch's beginning, so that all ranks run the
    same number of steps.
    """
    indices = order(size, seed, epoch, shuffle)
    dealt = [indices[start : start + batch_size] for start in range(0, size, batch_size)]
    missing = -len(dealt) % world
    return (dealt + dealt[:missing])[rank::world]


class BatchSampler(Sampler[list[int]]):
    """`batches` for a DataLoader; set `epoch` before each pass."""

    def __init__(self, size: int, batch_size: int, seed: int, shuffle: bool, rank: int = 0, world: int = 1) -> None:
        """Stores the arguments of `batches`."""
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.shuffle, self.rank, self.world = shuffle, rank, world
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the batches of the present epoch."""
        yield from batches(
            self.size, self.batch_size, self.seed, self.epoch, self.shuffle, rank=self.rank, world=self.world
        )

    def __len__(self) -> int:
        """Batches a pass."""
        return math.ceil(math.ceil(self.size / self.batch_size) / self.world)
