"""Append-only JSON lines that survive a kill, and the ledger of what left, whose entries are chained by digests."""

import json
import os
from pathlib import Path

from finetune.errors import IntegrityError
from finetune.rundir import Json, RunDir, canonical_digest, now, read_jsonl

EGRESS = "egress.jsonl"
"""The ledger's name below `eval/`: one a run, whatever was asked."""

START = "0" * 64


class Journal:
    """Whole lines, on disk before the caller goes on. A half line that a kill left behind is cut off at opening."""

    def __init__(self, run: RunDir, path: Path) -> None:
        """Opens the file, or starts it."""
        self.path = path
        self._mode = run.file_mode
        run.make(path.parent)
        if path.exists():
            content = path.read_bytes()
            if not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)

    def rows(self) -> list[Json]:
        """Everything written so far."""
        return list(read_jsonl(self.path)) if self.path.exists() else []

    def append(self, row: Json) -> None:
        """Writes one line and waits until the disk has it."""
        with self.path.open("ab") as handle:
            os.fchmod(handle.fileno(), self._mode)
            handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


class Ledger:
    """Each request before it leaves (`event: send`), and what came back (`event: reply`, `send` = its number)."""

    def __init__(self, run: RunDir, path: Path) -> None:
        """Continues the ledger of a run.

        Raises:
            IntegrityError: it was altered.
        """
        self._journal = Journal(run, path)
        self.entries = verify(path)
        self._head = canonical_digest(self.entries[-1]) if self.entries else START
        self.images: set[str] = set()  # digests of all pictures that left
        self.costs: list[float] = []  # of each reply whose price is known
        for entry in self.entries:
            self._count(entry)

    def append(self, event: str, **fields: object) -> int:
        """Adds an entry and returns its number."""
        entry = {"seq": len(self.entries), "event": event, "time": now(), **fields, "previous": self._head}
        self._journal.append(entry)
        self.entries.append(entry)
        self._count(entry)
        self._head = canonical_digest(entry)
        return len(self.entries) - 1

    def _count(self, entry: Json) -> None:
        self.images.update(entry.get("images", ()))
        if entry.get("cost") is not None:
            self.costs.append(entry["cost"])


def verify(path: Path) -> list[Json]:
    """Reads a ledger and checks its chain.

    Raises:
        IntegrityError: an entry is missing, repeated or was changed after it was written; names its number.
    """
    entries = list(read_jsonl(path)) if path.exists() else []
    previous = START
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or (entry.get("seq"), entry.get("previous")) != (number, previous):
            raise IntegrityError(f"{path} entry {number}: the chain is broken; the record of what left was altered.")
        previous = canonical_digest(entry)
    return entries


def summary(path: Path) -> Json:
    """Counts of a ledger: `requests`, `bytes`, `images`, `outcomes`, `lost` (sent, no reply known), `cost`, ...

    Raises:
        IntegrityError: the ledger was altered.
    """
    entries = verify(path)
    sends = [entry for entry in entries if entry["event"] == "send"]
    replies = [entry for entry in entries if entry["event"] == "reply"]
    outcomes: dict[str, int] = {}
    for entry in replies:
        outcomes[entry["outcome"]] = outcomes.get(entry["outcome"], 0) + 1
    costs = [entry["cost"] for entry in replies if entry["cost"] is not None]
    return {
        "requests": len(sends),
        "bytes": sum(entry["bytes"] for entry in sends),
        "images": len({digest for entry in sends for digest in entry["images"]}),
        "outcomes": outcomes,
        "lost": len(sends) - len(replies),
        "cost": sum(costs) if costs else None,
        "endpoints": sorted({entry["endpoint"] for entry in sends}),
        "head": canonical_digest(entries[-1]) if entries else START,
    }
