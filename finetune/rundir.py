"""The run directory: the only place that knows file names; atomic writes, the lock, the status and the audit chain."""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from finetune.errors import IntegrityError, ResourceError

SCHEMA = 1
Json = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One split of the data and the training on it: the run itself, or one fold of a cross-validation."""

    name: str
    data: Path
    train: Path

    @property
    def adapter(self) -> Path:
        """Folder of the adapter that this part trained."""
        return self.train / "adapter"

    @property
    def weights(self) -> Path:
        """File of the weights of the adapter, as PEFT names it."""
        return self.adapter / "adapter_model.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Folder of the resumable checkpoints of this part."""
        return self.train / "checkpoints"

    def split(self, name: str) -> Path:
        """File of the examples of `train`, `val` or `test`."""
        return self.data / f"{name}.jsonl"


class RunDir:
    """Paths, writes and records of one run directory.

    Args:
        root: the directory; created on the first write.
        file_mode: mode of files; directories get the matching search bits.
    """

    def __init__(self, root: Path, file_mode: int = 0o640) -> None:
        """Names the directory; nothing is written yet."""
        self.root = root
        self.file_mode = file_mode
        self.data = root / "data"
        self.train = root / "train"
        self.eval = root / "eval"
        self.report = root / "report"
        self.export = root / "export"
        self.status_file = root / "run.json"
        self.config_file = root / "config.yaml"
        self.audit_file = root / "audit.jsonl"
        self.notes = root / ".ranks"  # there while several processes train
        self.stop_file = self.notes / "stop"
        self.images = self.data / "images"
        self.manifest = self.data / "manifest.jsonl"
        self.summary = self.data / "summary.json"
        self.quarantine = self.data / "quarantine.jsonl"
        self.comparison = self.eval / "comparison.json"
        self.metrics = self.eval / "metrics.json"
        self.panels = self.eval / "panels.json"
        self.panel_replies = self.eval / "panels.replies.jsonl"
        self.curve = self.eval / "curve.json"

    def parts(self, folds: int) -> list[Part]:
        """The run itself, or its K folds (`data/fold_k`, `train/fold_k`)."""
        if not folds:
            return [Part("", self.data, self.train)]
        return [Part(f"fold_{k}", self.data / f"fold_{k}", self.train / f"fold_{k}") for k in range(folds)]

    def predictions(self, who: str, generated: bool = False) -> Path:
        """File of the predictions of WHO, in the deployed answering mode or in the other one."""
        return self.eval / f"{who}{'.generated' if generated else ''}.predictions.jsonl"

    def validation(self, who: str) -> Path:
        """File of the answers of WHO to the validation split, where thresholds and temperatures are chosen."""
        return self.eval / f"{who}.validation.predictions.jsonl"

    def partial(self, who: str, part: str, split: str) -> Path:
        """File of the answers that WHO has given so far, while the evaluation is going on."""
        return self.eval / "partial" / f"{who}.{part or 'all'}.{split}.jsonl"

    def make(self, folder: Path) -> Path:
        """Creates a folder of the run with the mode that goes with `file_mode`, and returns it."""
        for missing in reversed([p for p in (folder, *folder.parents) if not p.is_dir()]):
            missing.mkdir(exist_ok=True)
            missing.chmod(self.file_mode | (self.file_mode & 0o444) >> 2)
        return folder

    @contextmanager
    def write(self, path: Path) -> Iterator[IO[str]]:
        """Opens a text file that appears under its name only when it is complete and on disk (fsync, rename)."""
        self.make(path.parent)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("w", encoding="utf-8", newline="\n") as handle:
            os.fchmod(handle.fileno(), self.file_mode)
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)

    def write_text(self, path: Path, text: str) -> Path:
        """Writes a whole text file atomically."""
        with self.write(path) as handle:
            handle.write(text)
        return path

    def write_json(self, path: Path, value: Any) -> Path:
        """Writes one JSON document atomically; NaN is refused."""
        return self.write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_jsonl(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Writes one JSON object a line, streamed, atomically; NaN is refused."""
        with self.write(path) as handle:
            for row in rows:
                handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        return path

    @contextmanager
    def lock(self, name: str = "run.lock") -> Iterator[None]:
        """Holds the run directory for this process; ranks that train it have a lock of their own.

        `fcntl.lockf` belongs to the process: unlike `flock` it is not kept alive by an orphaned loader worker.

        Raises:
            ResourceError: another process holds it; names host, pid and since when.
        """
        self.make(self.root)
        with (self.root / name).open("a+", encoding="utf-8") as handle:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                raise ResourceError(
                    f"{self.root} is in use by another run ({handle.read().strip() or 'holder unknown'}). "
                    "Wait for it to end, or give this run its own run.dir."
                ) from error
            os.fchmod(handle.fileno(), self.file_mode)
            handle.truncate(0)
            handle.write(f"pid {os.getpid()} on {socket.gethostname()} since {now()}")
            handle.flush()
            yield

    def status(self) -> Json:
        """Reads `run.json`; an empty dictionary where there is no run yet."""
        return read_json(self.status_file) if self.status_file.exists() else {}

    def update_status(self, **changes: Any) -> Json:
        """Replaces fields of `run.json`, atomically, and returns the whole."""
        status = {**self.status(), **changes}
        self.write_json(self.status_file, status)
        return status

    def record(self, paths: Iterable[Path]) -> None:
        """Appends the sha256 of finished files to the audit chain; the latest entry of a path counts.

        A file that is gone gets null. All entries are written or, where the disk is full, none.
        """
        previous, seq = self._audit_head()
        self.make(self.root)
        text = ""
        for path in paths:
            entry = {"seq": seq, "path": path.relative_to(self.root).as_posix(), "sha256": self._digest(path)}
            entry |= {"previous": previous, "time": now()}
            text += json.dumps(entry, ensure_ascii=False) + "\n"
            previous, seq = canonical_digest(entry), seq + 1
        rest = text.encode()
        with self.audit_file.open("ab", buffering=0) as handle:
            former = handle.tell()
            os.fchmod(handle.fileno(), self.file_mode)
            try:
                while rest:
                    rest = rest[handle.write(rest) :]
                os.fsync(handle.fileno())
            except OSError:
                handle.truncate(former)
                raise

    def _digest(self, path: Path) -> str | None:
        if not path.exists():
            return None
        return canonical_digest(read_json(path)) if path == self.status_file else sha256_file(path)

    def _audit_head(self) -> tuple[str, int]:
        head, seq = "0" * 64, 0
        if self.audit_file.exists():
            for entry in read_jsonl(self.audit_file):
                head, seq = canonical_digest(entry), entry["seq"] + 1
        return head, seq

    def audit(self) -> dict[str, str]:
        """Reads the audit chain: path -> latest sha256, without the files recorded as gone.

        Raises:
            IntegrityError: an entry is missing, repeated or was changed after it was written; names its number.
        """
        latest: dict[str, str | None] = {}
        previous = "0" * 64
        for expected, entry in enumerate(read_jsonl(self.audit_file) if self.audit_file.exists() else ()):
            if entry.get("seq") != expected or entry.get("previous") != previous:
                raise IntegrityError(
                    f"{self.audit_file} entry {expected}: the chain is broken; the record was altered."
                )
            latest[entry["path"]] = entry["sha256"]
            previous = canonical_digest(entry)
        return {path: digest for path, digest in latest.items() if digest is not None}


def read_json(path: Path) -> Json:
    """Reads one JSON object.

    Raises:
        IntegrityError: the file is not JSON.
    """
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path} is not readable as JSON ({error}); restore it or run the stage again.") from error
    return value


def read_jsonl(path: Path) -> Iterator[Json]:
    """Yields the objects of a .jsonl file, one at a time.

    Raises:
        IntegrityError: a line is not JSON; names the line.
    """
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise IntegrityError(f"{path} line {number} is not JSON ({error}); run the stage again.") from error


def sha256_file(path: Path) -> str:
    """Digest of the bytes of a file, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_digest(value: Any) -> str:
    """Digest of a JSON value that does not depend on key order or white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> str:
    """The present time, UTC, ISO 8601 with seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
