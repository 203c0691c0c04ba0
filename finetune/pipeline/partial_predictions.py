"""Answers that are written down batch by batch, so that an evaluation that was killed goes on where it stopped."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from finetune.example import Example, Prediction
from finetune.rundir import RunDir, read_jsonl


class Partial:
    """One file of answers that grows: a line for what they depend on, then a line an example.

    A line holds the answers of one example in all modes, so that none is half there. A last line that was cut off by a
    kill is taken away; a file that was made with other settings begins anew.

    Args:
        run: gives the mode of files.
        path: of the file.
        identity: digest of what the answers depend on.
    """

    def __init__(self, run: RunDir, path: Path, identity: str) -> None:
        """Opens the file, repairs its end, and counts what is in it."""
        self.run, self.path = run, path
        run.make(path.parent)
        if not self._is_of(identity):
            run.write_text(path, _head(identity).decode())
        self.ids = [rows[0].id for rows in self.read()]

    def _is_of(self, identity: str) -> bool:
        if not self.path.exists():
            return False
        with self.path.open("rb+") as handle:
            whole = 0
            for line in handle:
                if not line.endswith(b"\n"):
                    handle.truncate(whole)
                    break
                whole += len(line)
            handle.seek(0)
            first = handle.readline()
        return first == _head(identity)  # bytes, since a power cut may leave anything

    def left(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Those of `examples` without an answer yet; where the file holds others than their beginning, all of them."""
        done = len(self.ids)
        if self.ids != [example.id for example in examples[:done]]:
            self.ids = []
            head = self.path.read_text(encoding="utf-8").partition("\n")[0]
            self.run.write_text(self.path, head + "\n")
            return examples
        return examples[done:]

    def extend(self, answers: Iterable[tuple[Prediction, ...]], flush_every: int) -> None:
        """Appends answers as they come; each line goes to the system at once, and to disk every `flush_every` lines."""
        with self.path.open("ab", buffering=0) as handle:
            for number, rows in enumerate(answers, 1):
                line = json.dumps([asdict(row) for row in rows], ensure_ascii=False, allow_nan=False) + "\n"
                handle.write(line.encode())
                self.ids.append(rows[0].id)
                if number % flush_every == 0:
                    os.fsync(handle.fileno())

    def read(self) -> Iterator[tuple[Prediction, ...]]:
        """The answers of each example, in order, one example at a time.

        Raises:
            IntegrityError: a line is not JSON; names the line.
        """
        lines: Iterator[Any] = read_jsonl(self.path)
        for rows in islice(lines, 1, None):
            yield tuple(Prediction(**row) for row in rows)


def _head(identity: str) -> bytes:
    return json.dumps({"identity": identity}).encode() + b"\n"
