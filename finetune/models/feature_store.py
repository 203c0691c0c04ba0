"""Tensors on disk under keys: written whole, checked when read, bounded, shared by several processes."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import get_native_id
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

GB = 10**9
_SUFFIX = ".safetensors"


class Store:
    """A folder of entries, one file each, `SCOPE/KE/KEY.safetensors`.

    An entry that is not what was written is taken for one that is not there. What this process has read or written is
    never removed to make room; the entries used longest ago by others go first. Where there is no room, or the folder
    cannot be written, it says so once and keeps nothing more.

    Args:
        root: the folder; may hold entries of other models, which count for the limit.
        scope: name of the subfolder, one for each way of computing entries.
        limit_gb: most that the folder may hold.
        file_mode: mode of files; folders get the matching search bits.
    """

    def __init__(self, root: Path, scope: str, limit_gb: float, file_mode: int) -> None:
        """Creates nothing yet."""
        self.root, self.scope, self.file_mode = root, scope, file_mode
        self.limit = int(limit_gb * GB)
        self.hits = self.written = self.damaged = 0
        self._own: set[Path] = set()
        self._held: int | None = None
        self._full = False

    def path(self, key: str) -> Path:
        """File of an entry."""
        return self.root / self.scope / key[:2] / f"{key}{_SUFFIX}"

    def read(self, key: str) -> dict[str, Tensor] | None:
        """The entry, or None where there is none or it is damaged."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        values = _checked(content)
        if values is None:
            self.damaged += 1
            print(f"feature cache: {path} is damaged; it is computed again", file=sys.stderr)
            return None
        self.hits += 1
        self._use(path)
        return values

    def write(self, key: str, values: Mapping[str, Tensor]) -> bool:
        """Keeps an entry under its key, in the place of a damaged one too; returns whether there was room."""
        if self._full:
            return False
        values = {name: value.detach().cpu().contiguous() for name, value in values.items()}
        content = save(values, metadata={"sha256": _digest(values)})
        path = self.path(key)
        try:
            if not self._room(len(content)):
                self._stop(f"its {self.limit / GB:g} GB (train.feature_cache_max_gb) are used up by this run")
                return False
            self._write(path, content)
        except OSError as error:
            self._stop(f"{self.root} cannot be written ({error.strerror})")
            return False
        self.written += 1
        self._own.add(path)
        return True

    def _write(self, path: Path, content: bytes) -> None:
        for missing in reversed([folder for folder in path.parents if not folder.is_dir()]):
            missing.mkdir(exist_ok=True)
            missing.chmod(self.file_mode | (self.file_mode & 0o444) >> 2)
        partial = path.with_name(f".{path.name}.{os.getpid()}-{get_native_id()}.partial")
        try:
            with partial.open("wb") as handle:
                os.fchmod(handle.fileno(), self.file_mode)
                handle.write(content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _stop(self, why: str) -> None:
        self._full = True
        print(f"feature cache: {why}; the other images are computed each time, with the same result", file=sys.stderr)

    def _use(self, path: Path) -> None:
        """Marks an entry as used, so that it is not the oldest."""
        if path not in self._own:
            self._own.add(path)
            try:
                os.utime(path)
            except OSError:
                return  # of another user, or gone since: neither matters

    def _room(self, size: int) -> bool:
        """Whether an entry of that size fits, after entries used longest ago have gone."""
        if self._held is None or self._held + size > self.limit:
            self._held = self._shrink(self.limit - size)
        self._held += size
        return self._held <= self.limit

    def _shrink(self, allowed: int) -> int:
        """Removes what others used longest ago until at most `allowed` bytes are left; returns what is left."""
        files = []
        for path in self.root.rglob(f"*{_SUFFIX}"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue  # another process made room
            files.append((facts.st_mtime_ns, facts.st_size, path))
        held = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if held <= allowed:
                break
            if path not in self._own:
                path.unlink(missing_ok=True)
                held -= size
        return held


def raw(value: Tensor) -> memoryview:
    """The bytes of a tensor."""
    content: Any = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(content)


def _digest(values: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(values):
        found.update(f"{name} {values[name].dtype} {tuple(values[name].shape)}\n".encode())
        found.update(raw(values[name]))
    return found.hexdigest()


def _checked(content: bytes) -> dict[str, Tensor] | None:
    """The tensors of a file, or None where they are not those that were written."""
    try:
        length = int.from_bytes(content[:8], "little")
        told = json.loads(content[8 : 8 + length])["__metadata__"]["sha256"]
        values: dict[str, Tensor] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return values if _digest(values) == told else None
