"""Which examples go into which batch: a pure function of (seed, epoch, rank, world, step)."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from finetune.training.grouping import grouped


def order(size: int, seed: int, epoch: int, shuffle: bool, classes: Sequence[str] | None = None) -> list[int]:
    """Indices of all examples in the order of one epoch; the source's own order without `shuffle`.

    With `classes` (one an example) an epoch is as long, but every class is drawn equally often: rare ones repeat, each
    of their examples as often as the others give or take one, and common ones take turns over the epochs.
    """
    random = np.random.default_rng([seed, epoch])
    if classes is not None:
        return _balanced(classes, random)
    if not shuffle:
        return list(range(size))
    return [int(index) for index in random.permutation(size)]


def _balanced(classes: Sequence[str], random: np.random.Generator) -> list[int]:
    names = sorted(set(classes))
    drawn: list[int] = []
    for rank, name in enumerate(names):
        members = np.flatnonzero(np.asarray(classes) == name)
        wanted = len(classes) // len(names) + (rank < len(classes) % len(names))
        rounds = [random.permutation(members) for _ in range(-(-wanted // len(members)))]
        drawn += [int(index) for index in np.concatenate(rounds)[:wanted]]
    return [drawn[place] for place in random.permutation(len(drawn))]


def batches(
    size: int,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool,
    rank: int = 0,
    world: int = 1,
    classes: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> list[list[int]]:
    """The batches of one rank in one epoch; batch `i` of the list is step `i`.

    Batches are dealt out to ranks in turn, so that two ranks see at one step what one rank sees at two. Every example
    occurs once; with several ranks the last round is filled up from the epoch's beginning, so that all ranks run the
    same number of steps. With `lengths` (one an example) those of like length come together where padding would cost.
    """
    indices = order(size, seed, epoch, shuffle, classes)
    if shuffle and lengths is not None:
        indices = grouped(indices, lengths, batch_size, np.random.default_rng([seed, epoch, 1]))
    dealt = [indices[start : start + batch_size] for start in range(0, size, batch_size)]
    rounds = math.ceil(len(dealt) / world)
    return [dealt[(world * turn + rank) % len(dealt)] for turn in range(rounds)]


class BatchSampler(Sampler[list[int]]):
    """`batches` for a DataLoader; set `epoch` before each pass."""

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world: int = 1,
        classes: Sequence[str] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Stores the arguments of `batches`."""
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.shuffle, self.rank, self.world = shuffle, rank, world
        self.classes, self.lengths = classes, lengths
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the batches of the present epoch."""
        drawn = self.size, self.batch_size, self.seed, self.epoch, self.shuffle
        yield from batches(*drawn, self.rank, self.world, self.classes, self.lengths)

    def __len__(self) -> int:
        """Batches a pass."""
        return math.ceil(math.ceil(self.size / self.batch_size) / self.world)
