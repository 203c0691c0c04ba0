"""SIGTERM and Ctrl-C while training: noted, acted on at the end of the step, so that the state can be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from finetune.training import ranks

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether the run was asked to stop, and by what."""

    def __init__(self, file: Path | None = None) -> None:
        """Nothing was asked yet.

        Args:
            file: asks to stop by being there; how ranks on any node are told.
        """
        self.name: str | None = None
        self.file = file

    @property
    def requested(self) -> bool:
        """True from the first signal on; further ones change nothing."""
        return self.name is not None

    def agreed(self) -> bool:
        """Whether any rank was asked to stop; all of them then stop after the same step."""
        if self.file is not None and self.file.exists():
            self.name = self.name or "a signal to the command that started it"
        named = [name for name in ranks.gathered(self.name) if name is not None]
        if named and self.name is None:
            self.name = named[0]
        return bool(named)

    @contextmanager
    def watch(self) -> Iterator["Interruption"]:
        """Notes the signals instead of dying from them; the former handlers come back afterwards."""
        former = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


def ignore_in_worker(worker: int) -> None:
    """Lets loader workers outlive a signal to the process group, as Slurm sends it: the step needs their data."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
