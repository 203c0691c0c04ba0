"""Checkpoints that are complete or absent: a manifest written last, one rename, verified before use, two kept."""

import io
import json
import os
import random
import re
import shutil
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from finetune.errors import IntegrityError, ResourceError
from finetune.rundir import SCHEMA, Json, RunDir, read_json, sha256_file

MANIFEST = "manifest.json"
TRAINER_STATE = "trainer_state.json"
"""Named by transformers, whose Trainer reads it at resume."""

KEPT = 2
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class State:
    """Everything that a step depends on, beside config and data.

    Attributes:
        step: optimiser steps done.
        weights: name -> value of everything that trains.
        best: the same at the best validation so far, or None before the first one.
        optimiser: `state_dict()` of the optimiser.
        scheduler: `state_dict()` of the scheduler.
        trainer: fields of transformers' `TrainerState`.
        verdict: step, metric and log-probability of the best validation, empty before the first one.
        base: what the adapter sits on, as `finetune.json` says it.
        generators: of each rank, the states of the random generators of torch, numpy and Python.
    """

    step: int
    weights: dict[str, Tensor]
    best: dict[str, Tensor] | None
    optimiser: Json
    scheduler: Json
    trainer: Json
    verdict: Json
    base: Json
    generators: list[Json]


def write(run: RunDir, folder: Path, state: State) -> Path:
    """Writes a checkpoint, verifies it, and only then removes all but the newest two.

    Files first, each on disk; the manifest with their digests last; then the folder gets its name. A kill at any point
    leaves either nothing under that name or a whole checkpoint.

    Raises:
        ResourceError: the disk is full or not writable; earlier checkpoints are untouched.
        IntegrityError: what was read back is not what was written.
    """
    place = folder / f"step-{state.step:08d}"
    partial = folder / f".{place.name}.partial"
    try:
        run.make(folder)
        shutil.rmtree(partial, ignore_errors=True)
        run.make(partial)
        digests = {name: _write(run, partial / name, data) for name, data in _files(state).items()}
        run.write_json(partial / MANIFEST, {"schema": SCHEMA, "step": state.step, "files": digests})
        _sync(partial)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ResourceError(
            f"cannot write the checkpoint {place}: {error.strerror}. Free some space and run the same command again; "
            "it continues from the checkpoint before."
        ) from error
    verify(place)
    for old in _ordered(folder)[:-KEPT]:
        shutil.rmtree(old)
    return place


def newest(folder: Path) -> tuple[Path, State] | None:
    """The newest checkpoint that verifies; broken ones are set aside by a rename and named on standard error."""
    for place in reversed(_ordered(folder)):
        try:
            verify(place)
        except IntegrityError as error:
            aside = _free(place.with_name(f"broken-{place.name}"))
            place.rename(aside)
            print(f"{error} It is set aside as {aside.name}; the one before is used.", file=sys.stderr)
            continue
        return place, _read(place)
    return None


def read(place: Path) -> tuple[Path, State]:
    """A checkpoint that is known to be there, verified.

    Raises:
        IntegrityError: it is not what was written.
    """
    verify(place)
    return place, _read(place)


def verify(place: Path) -> None:
    """Compares every file of a checkpoint with its manifest.

    Raises:
        IntegrityError: the manifest or a file is missing, extra or changed; names it.
    """
    if not (place / MANIFEST).is_file():
        raise IntegrityError(f"checkpoint {place} has no {MANIFEST}.")
    listed: dict[str, str] = read_json(place / MANIFEST).get("files", {})
    present = {path.name for path in place.iterdir()} - {MANIFEST}
    if not listed or present != listed.keys():
        raise IntegrityError(f"checkpoint {place}: expected the files {sorted(listed)}, got {sorted(present)}.")
    for name, digest in listed.items():
        if sha256_file(place / name) != digest:
            raise IntegrityError(f"checkpoint {place}: {name} is not what was written.")


def generator_states() -> Json:
    """States of the global random generators, in types that `torch.load(weights_only=True)` admits."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "python": [version, list(internal), gauss],
    }


def restore_generators(states: Json) -> None:
    """Sets the global random generators."""
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def _files(state: State) -> dict[str, bytes]:
    contents = {
        "weights.safetensors": _tensors(state.weights),
        "optimiser.pt": _pickled(state.optimiser),
        "scheduler.pt": _pickled(state.scheduler),
        "generators.pt": _pickled(state.generators),
        TRAINER_STATE: json.dumps(state.trainer, indent=2).encode(),
        "verdict.json": json.dumps(state.verdict).encode(),
        "base.json": json.dumps(state.base).encode(),
    }
    return contents if state.best is None else {**contents, "best.safetensors": _tensors(state.best)}


def _tensors(values: dict[str, Tensor]) -> bytes:
    data: bytes = save({name: value.contiguous() for name, value in values.items()})
    return data


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _read(place: Path) -> State:
    def unpickled(name: str) -> Any:
        value: Any = torch.load(place / name, map_location="cpu", weights_only=True)
        return value

    best = place / "best.safetensors"
    return State(
        step=read_json(place / MANIFEST)["step"],
        weights=load((place / "weights.safetensors").read_bytes()),
        best=load(best.read_bytes()) if best.is_file() else None,
        optimiser=unpickled("optimiser.pt"),
        scheduler=unpickled("scheduler.pt"),
        trainer=read_json(place / TRAINER_STATE),
        verdict=read_json(place / "verdict.json"),
        base=read_json(place / "base.json"),
        generators=unpickled("generators.pt"),
    )


def _write(run: RunDir, path: Path, data: bytes) -> str:
    with path.open("wb") as handle:
        os.fchmod(handle.fileno(), run.file_mode)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    return sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ordered(folder: Path) -> list[Path]:
    """Checkpoints by step, oldest first; clocks and modification times play no part."""
    found = folder.iterdir() if folder.is_dir() else iter(())
    return sorted((path for path in found if _NAME.fullmatch(path.name)), key=lambda path: path.name)


def _free(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
