"""Which examples go into which batch: a pure function of (seed, epoch, rank, world, step)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


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


@dataclass(frozen=True)
class Share:
    """What one rank does of every optimiser step; see `checks.split_batch_across_ranks`.

    Attributes:
        rank: this rank.
        world: number of ranks.
        batch_size: examples a forward pass of one rank.
        passes: forward passes of one rank an optimiser step.
        whole: examples a forward pass of one rank alone, `train.batch_size`, by which lengths are grouped.
    """

    rank: int = 0
    world: int = 1
    batch_size: int = 1
    passes: int = 1
    whole: int = 0


def batches(
    size: int,
    share: Share,
    seed: int,
    epoch: int,
    shuffle: bool,
    classes: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> list[list[int]]:
    """The batches of one rank in one epoch; a pure function of its arguments.

    The examples of an optimiser step are the same whatever the number of ranks. They are dealt out by length, longest
    first and in turning order, so that the ranks of one pass have about as many vision tokens each. All ranks run the
    same number of passes: where the last step of an epoch leaves nothing for a rank, it gets an example without weight,
    which is -1 - index. With `lengths` (one an example) those of like length come together where padding would cost.
    """
    indices = order(size, seed, epoch, shuffle, classes)
    if shuffle and lengths is not None:
        indices = grouped(indices, lengths, share.whole or share.batch_size, np.random.default_rng([seed, epoch, 1]))
    step, round_ = share.batch_size * share.passes * share.world, share.batch_size * share.world
    found = []
    for start in range(0, size, step):
        chunk = indices[start : start + step]
        if share.world > 1 and lengths is not None:
            chunk = sorted(chunk, key=lambda index: -lengths[index])
        for first in range(0, len(chunk), round_):
            members = chunk[first : first + round_]
            mine = [member for place, member in enumerate(members) if _turn(place, share.world) == share.rank]
            found.append(mine or [-1 - members[-1]])
    return found


def _turn(place: int, world: int) -> int:
    """Who gets the example at `place`: 0 1 2 2 1 0 0 1 2 ... for three ranks."""
    lap, rest = divmod(place, world)
    return rest if lap % 2 == 0 else world - 1 - rest


class BatchSampler(Sampler[list[int]]):
    """`batches` for a DataLoader; set `epoch` before each pass."""

    def __init__(
        self,
        size: int,
        share: Share,
        seed: int,
        shuffle: bool,
        classes: Sequence[str] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Stores the arguments of `batches`."""
        self.size, self.share, self.seed, self.shuffle = size, share, seed, shuffle
        self.classes, self.lengths = classes, lengths
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the batches of the present epoch."""
        drawn = self.size, self.share, self.seed, self.epoch, self.shuffle
        yield from batches(*drawn, self.classes, self.lengths)

    def __len__(self) -> int:
        """Batches a pass."""
        round_ = self.share.batch_size * self.share.world
        whole, rest = divmod(self.size, round_ * self.share.passes)
        return whole * self.share.passes + math.ceil(rest / round_)


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
