"""The record of a training: log.jsonl and validation.jsonl without duplicates after a resume, and the progress bar."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from finetune.rundir import Json, RunDir

LOG, VALIDATION = "log.jsonl", "validation.jsonl"


class Journal:
    """Appends one line an optimiser step, and one line a validation, and shows how far it is.

    Args:
        run: for file modes and atomic writes.
        folder: where the two files are.
        step: step that training continues from; later lines of an earlier attempt are cut off, for these steps are done
            again.
    """

    def __init__(self, run: RunDir, folder: Path, step: int) -> None:
        """Cuts both files to `step`."""
        self.run, self.folder, self.start = run, folder, step
        self._bar: Any = None
        for name in (LOG, VALIDATION):
            run.write_jsonl(folder / name, _until(folder / name, step))

    def begin(self, total: int) -> None:
        """Opens the progress bar on standard error: steps, loss, time left."""
        self._bar = tqdm(total=total, initial=self.start, desc="train", unit="step")

    def step(self, row: Json) -> None:
        """Writes the line of one optimiser step and moves the bar."""
        self._append(LOG, row)
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            self._bar.update(1)

    def validation(self, row: Json) -> None:
        """Writes the line of one validation and prints it above the bar."""
        self._append(VALIDATION, row)
        mark = ", the best so far" if row["best"] else ""
        tqdm.write(f"step {row['step']}: validation {row['metric']} {row['value']:.3f}{mark}", file=sys.stderr)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Closes the progress bar."""
        if self._bar is not None:
            self._bar.close()

    def _append(self, name: str, row: Json) -> None:
        with (self.folder / name).open("a", encoding="utf-8", newline="\n") as handle:
            os.fchmod(handle.fileno(), self.run.file_mode)
            handle.write(json.dumps(row, allow_nan=False) + "\n")


class Unwritten(Journal):
    """The record of a rank that writes nothing: the main one writes for all."""

    def __init__(self) -> None:
        """Opens nothing."""

    def begin(self, total: int) -> None:
        """Shows nothing."""

    def step(self, row: Json) -> None:
        """Writes nothing."""

    def validation(self, row: Json) -> None:
        """Writes nothing."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def close(self) -> None:
        """Nothing is open."""


def _until(path: Path, step: int) -> list[Json]:
    """The lines of a file up to a step; a last line that a kill left half-written is beyond it."""
    rows: list[Json] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["step"] > step:
            break
        rows.append(row)
    return rows
