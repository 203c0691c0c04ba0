"""An external test set: a second source, read by the same adapter and options, whose examples are the whole test."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from finetune.config.schema import DataConfig, SplitConfig
from finetune.data.split import Fold, Item, fraction
from finetune.errors import DataError
from finetune.example import BadRow, Example

TEST = "test"


@dataclass(frozen=True)
class Source:
    """One of the sources of a run.

    Attributes:
        data: the section with `path` of this source and no other beside it.
        below: its image root, relative to the one that both share; empty where it is that one.
        tested: whether it is the external test set.
    """

    data: DataConfig
    below: str = ""
    tested: bool = False

    def placed(self, row: Example | BadRow) -> Example | BadRow:
        """The row with paths below the shared root; of the test set with an id of its own, marked as test.

        A group keeps its name, so that a patient who is in both sources is found. A row that is its own group, by its
        id or path, stays so.
        """
        if isinstance(row, BadRow):
            return replace(row, row=self._told(row.row), path=self._path(row.path))
        images = tuple(replace(ref, path=self._path(ref.path)) for ref in row.images)
        if not self.tested:
            return replace(row, images=images)
        name = f"{TEST}/{row.id}"
        own = self.data.group is None and row.group in (row.id, row.images[0].path)
        group = name if own else row.group
        return replace(row, images=images, id=name, group=group, split=TEST, row=self._told(row.row))

    def _path(self, path: str) -> str:
        return str(PurePosixPath(self.below, path)) if self.below else path

    def _told(self, row: str) -> str:
        return f"data.test_path: {row}" if self.tested and row else row


def sources(data: DataConfig, locate: Callable[[DataConfig], Path] | None) -> tuple[list[Source], Path | None]:
    """The sources of a run, the external test set last, and the folder that the paths of all their images start from.

    Args:
        data: `path` and `test_path` count.
        locate: the image root of a source; None for adapters that write their images, into one folder.

    Raises:
        DataError: the two are one, or one lies inside the other, whose images would be read twice.
    """
    alone = replace(data, test_path=None)
    if data.test_path is None:
        return [Source(alone)], None if locate is None else locate(alone)
    other = replace(alone, path=data.test_path)
    if data.path is not None and os.path.realpath(data.path) == os.path.realpath(data.test_path):
        raise DataError(
            f"data.test_path={data.test_path} is data.path itself: everything tested would be trained on. Give another "
            "source, or drop it and let data.split divide this one."
        )
    if locate is None:
        return [Source(alone), Source(other, tested=True)], None
    roots = [Path(os.path.realpath(locate(each))) for each in (alone, other)]
    if roots[0] != roots[1] and (roots[0].is_relative_to(roots[1]) or roots[1].is_relative_to(roots[0])):
        raise DataError(
            f"data.test_path={data.test_path} and data.path={data.path}: one lies inside the other, whose images would "
            "be read twice. Put them side by side."
        )
    shared = Path(os.path.commonpath(roots))
    below = ["" if root == shared else root.relative_to(shared).as_posix() for root in roots]
    return [Source(alone, below[0]), Source(other, below[1], tested=True)], shared


def assign(items: Sequence[Item], split: SplitConfig) -> Fold:
    """The external examples are the test; groups of the others are divided between train and val by `split.val`.

    Raises:
        DataError: a group is in both sources, or the test set is empty.
    """
    tested = {item.group: item for item in items if item.split == TEST}
    if not tested:
        raise DataError("data.test_path: no example of it was kept; there is nothing to test on.")
    names = {}
    for item in items:
        if item.split != TEST and item.group in tested:
            raise DataError(
                f"group {item.group!r} is in data.path ({item.where}) and in data.test_path "
                f"({tested[item.group].where}): what is tested must be new. Take it out of one of them."
            )
        chance = "val" if fraction(split.salt, item.group) < split.val else "train"
        names[item.id] = TEST if item.split == TEST else chance
    return Fold("", names)
