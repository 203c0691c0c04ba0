"""A look at every image of a source: size, digests and, where it is decoded, whether its pixels are sound.

Several at a time: in threads of this process, or in processes (`hardware.workers`). Rows that share an image share the
look, and results come in the order that was asked for, whatever finished first.
"""

import itertools
import os
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Literal

from finetune.data.duplicates.fingerprint import Sketch, sketch
from finetune.errors import DataError, ResourceError
from finetune.example import Example, ImageRef
from finetune.images import decode as pixels
from finetune.rundir import sha256_file

CHUNK = 64
"""Rows looked at ahead of those that are worked on, which bounds memory and keeps everybody busy."""

_REMEMBERED = 2**16
"""Images whose looks are remembered: rows that share an image, as questions do, decode it once."""

_TOGETHER = 8
"""Images that a thread or process is handed at a time: a message costs as much as the header of one."""

Grid = Callable[[tuple[int, int]], Sequence[tuple[int, int, int, int]]]
"""(height, width) -> the tiles that an image is cut into."""


@dataclass(frozen=True, slots=True)
class Look:
    """One image.

    Attributes:
        size: (height, width), upright.
        sha256: of its file.
        length: of its file, in bytes.
        pixels: digest of its pixels; empty where nothing was decoded.
        tiles: digest of the pixels of each tile; empty where there are none, or nothing was decoded.
        sketch: of the image, until somebody takes it out: many looks are remembered, and none needs it twice.
    """

    size: tuple[int, int]
    sha256: str
    length: int
    pixels: bytes
    tiles: tuple[bytes, ...] = ()
    sketch: list[Sketch] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Eye:
    """How images are looked at.

    Attributes:
        root: folder that references are relative to.
        decode: `full`, or `headers` alone.
        grid: how they are cut, or None.
        sketched: whether near-duplicates will be looked for.
    """

    root: Path
    decode: Literal["full", "headers"]
    grid: Grid | None = None
    sketched: bool = False

    def look(self, ref: ImageRef) -> Look | str:
        """One image, or what is wrong with it."""
        try:
            return self._decoded(ref) if self.decode == "full" else self._header(ref)
        except DataError as error:
            return str(error)

    def several(self, refs: Sequence[ImageRef]) -> list[Look | str]:
        """Several, in order."""
        return [self.look(ref) for ref in refs]

    def _decoded(self, ref: ImageRef) -> Look:
        image = pixels.load(self.root, ref)
        place = self.root / ref.path  # which `load` has judged
        size = (image.height, image.width)
        cut = () if self.grid is None else self.grid(size)
        tiles = tuple(pixels.fingerprint(pixels.crop(image, replace(ref, tile=tile))) for tile in cut)
        sketches = [sketch(image)] if self.sketched else []
        return Look(size, sha256_file(place), place.stat().st_size, pixels.fingerprint(image), tiles, sketches)

    def _header(self, ref: ImageRef) -> Look:
        """Without decoding: what is damaged further in shows in training; duplicates are found by their bytes alone."""
        width, height = pixels.header(self.root, ref).size
        place = self.root / ref.path  # which `header` has judged
        return Look((height, width), sha256_file(place), place.stat().st_size, b"")


def looked(rows: Iterable[Example], eye: Eye, workers: int) -> Iterator[tuple[Example, list[Look | str]]]:
    """Rows with a look, or what is wrong, of each of their images; in order.

    Args:
        rows: of the source.
        eye: how to look.
        workers: processes; 0 takes threads of this one.

    Raises:
        ResourceError: a process was killed; names the rows that it may have had.
    """
    rest = iter(rows)
    first = list(itertools.islice(rest, 1))  # adapters that write their images have written none before
    if not first:
        return
    with _pool(workers) as pool:
        ahead: deque[tuple[list[Example], dict[ImageRef, _Promise]]] = deque()
        memory = _Memory(pool, eye)
        rest = itertools.chain(first, rest)
        while chunk := list(itertools.islice(rest, CHUNK * max(1, workers))):
            ahead.append((chunk, memory.promise({ref for row in chunk for ref in row.images})))
            if len(ahead) > 1:
                yield from _kept(*ahead.popleft())
        while ahead:
            yield from _kept(*ahead.popleft())


_Promise = tuple["Future[list[Look | str]]", int]


class _Memory:
    """Promised looks by reference, the oldest forgotten first."""

    def __init__(self, pool: Executor, eye: Eye) -> None:
        self._pool, self._eye = pool, eye
        self._known: OrderedDict[ImageRef, _Promise] = OrderedDict()

    def promise(self, refs: set[ImageRef]) -> dict[ImageRef, _Promise]:
        """Asks the workers for what is not known yet, and returns where each look will be found."""
        new = sorted((ref for ref in refs if ref not in self._known), key=lambda ref: (ref.path, ref.frame or 0))
        for start in range(0, len(new), _TOGETHER):
            batch = new[start : start + _TOGETHER]
            future = self._pool.submit(self._eye.several, batch)
            self._known.update({ref: (future, index) for index, ref in enumerate(batch)})
        found = {ref: self._known[ref] for ref in refs}
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def _kept(rows: Sequence[Example], promised: dict[ImageRef, _Promise]) -> Iterator[tuple[Example, list[Look | str]]]:
    for row in rows:
        try:
            yield row, [promised[ref][0].result()[promised[ref][1]] for ref in row.images]
        except BrokenProcessPool as error:
            raise ResourceError(
                f"a process that decodes images was killed between {rows[0].row} and {rows[-1].row}, for memory as a "
                "rule. Take fewer hardware.workers; the same command starts again."
            ) from error


def _pool(workers: int) -> Executor:
    if not workers:
        return ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_obey_the_parent_alone)


def _obey_the_parent_alone() -> None:
    """Signals of a terminal or a scheduler reach every process of a group: only the parent decides what they mean.

    A worker outlives no parent: where that one is killed, it leaves at once.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        watch = partial(_leave_after, parent.join)
        threading.Thread(target=watch, name="leave with the parent", daemon=True).start()


def _leave_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
