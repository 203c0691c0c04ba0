"""The ledger of looks: how often a test was opened, under which rules, with which verdicts, across all runs.

A rule that is written down inside a run is no pre-registration: another run may try another rule on the same test.
`run.root/looks.jsonl` therefore counts by the digest of the test itself, one line a look.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from finetune.errors import IntegrityError
from finetune.rundir import Json, canonical_digest, now, read_jsonl

NAME = "looks.jsonl"


def digest_of(items: Iterable[tuple[str, str, str]]) -> str:
    """Digest of a test: its (id, pixel digest, gold) in any order. Another question on it is another look at it."""
    return canonical_digest(sorted(items))


def former(root: Path, test_sha256: str) -> list[Json]:
    """Looks at this test so far, oldest first.

    Raises:
        IntegrityError: the ledger is damaged; names the line.
    """
    path, found = root / NAME, []
    for number, row in enumerate(read_jsonl(path) if path.exists() else (), 1):
        if not isinstance(row, dict) or not isinstance(row.get("test_sha256"), str):
            raise IntegrityError(f"{path} line {number} is no look: it names no test_sha256; restore the ledger.")
        if row["test_sha256"] == test_sha256:
            found.append(row)
    return found


def refuse_second(history: Sequence[Json], sealed: bool, rule_sha256: str, answers_sha256: str | None = None) -> None:
    """Refuses to open a sealed test again, whether it is declared sealed now or was when it was opened.

    Making the very same look again (same rule and, where given, same answers) shows nothing new and is let through, so
    that a run whose report was lost can be repeated.

    Raises:
        IntegrityError: the test was opened before; says when, by which run, with which verdict.
    """
    if not sealed and not any(row["sealed"] for row in history):
        return
    other = [
        row
        for row in history
        if row["rule_sha256"] != rule_sha256 or answers_sha256 not in (None, row["answers_sha256"])
    ]
    if other:
        row = other[0]
        raise IntegrityError(
            f"this test is sealed and was opened {len(history)} time(s) before, first on {row['time']} by run "
            f"{row['run']} (verdict {row['verdict']}). A second look would make a lucky result likelier. "
            "Collect a new test, or report the first verdict."
        )


@contextmanager
def opened(root: Path) -> Iterator[None]:
    """Holds the ledger for this process while a verdict is made, so that two runs cannot both be the first.

    A file of its own is locked: closing any handle of a file gives up a process's `lockf` on it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / "looks.lock").open("a", encoding="utf-8") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield


def append(root: Path, file_mode: int, **look: str | bool) -> None:
    """Writes one look at the end of the ledger, and to disk; the caller holds it (`opened`).

    Args:
        root: `run.root`.
        file_mode: of the ledger.
        look: `run`, `test_sha256`, `rule_sha256`, `verdict`, `answers_sha256` and `sealed`.
    """
    with (root / NAME).open("a", encoding="utf-8") as handle:
        os.fchmod(handle.fileno(), file_mode)
        handle.write(json.dumps({"time": now(), **look}, ensure_ascii=False, allow_nan=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
