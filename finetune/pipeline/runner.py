"""Runs the stages of one run: lock, fingerprints, status, audit."""

import errno
import importlib
import importlib.metadata
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from finetune import __version__, egress, tracking
from finetune.config.compose import run_folder, to_yaml
from finetune.config.schema import STAGES, Config
from finetune.data import source
from finetune.errors import ConfigError, DataError, IntegrityError, InterruptedRun, ResourceError, UserError
from finetune.rundir import SCHEMA, Json, RunDir, canonical_digest, now, sha256_file

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "numpy", "pillow", "tokenizers")

ENDS = ("report", "export")
"""Stages that no other builds on."""


def execute(config: Config, overrides: Sequence[str]) -> Path:
    """Runs the stages of `config` in order and returns the run directory.

    A stage that finished with the same fingerprint and whose files are untouched is skipped. A stage that is needed but
    not asked for must be finished and match.

    Raises:
        UserError: whatever a stage raised; `run.json` says which and why before this returns.
    """
    run = RunDir(run_folder(config), int(config.run.file_mode, 8))
    try:
        run.make(run.root)
    except OSError as error:
        raise ResourceError(
            f"cannot create {run.root}: {error.strerror}. Choose another run.root or run.dir."
        ) from error
    with run.lock(), _terminable():
        run.audit()
        for name in STAGES[: min(map(STAGES.index, config.stages), default=0)]:
            _advance(run, config, name)  # what a call builds on: refused before it can replace the record of a good run
        _begin(run, config, overrides)
        try:
            for name in STAGES:
                _advance(run, config, name)
            egress.raise_if_denied()
        except BaseException as error:
            told = _told(error)
            _end(config, run, "interrupted" if isinstance(told, InterruptedRun) else "failed", told)
            if told is error:
                raise
            raise told from error
        _end(config, run, "done", None)
    return run.root


def _told(error: BaseException) -> BaseException:
    """The user's error behind Ctrl-C, a full disk or too little memory; every other error as it is."""
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRun("stopped by Ctrl-C; the same command continues.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        where = f": {error.filename}" if error.filename else ""
        return ResourceError(f"{error.strerror}{where}. Make room and run the same command again; it continues.")
    if isinstance(error, PermissionError):
        where = error.filename or "a file"
        return DataError(f"{where}: {error.strerror}. Give this user the right to it, or choose another.")
    torch = sys.modules.get("torch")  # a run that never imported it cannot have used up its memory
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return ResourceError(
            "out of memory. Lower train.batch_size or evaluate.batch_size and run the same command again."
        )
    return error


def fingerprint(stage: ModuleType, config: Config, run: RunDir) -> str:
    """Digest of what a stage reads: config sections and files of the run, not the source."""
    return canonical_digest([__version__.rpartition(".")[0], stage.reads(config, run)])


def _begin(run: RunDir, config: Config, overrides: Sequence[str]) -> None:
    run.update_status(
        schema=SCHEMA,
        status="started",
        recipe=config.recipe,
        overrides=list(overrides),
        versions=_versions(),
        seed=config.seed,
        stages=run.status().get("stages", {}),
        resumed_from_step=None,
        host=socket.gethostname(),
        git=_git_commit(),
        error=None,
        started=now(),
        egress={"network": config.network, "level": egress.level()},
    )
    run.write_text(run.config_file, to_yaml(config))


def _end(config: Config, run: RunDir, status: str, error: BaseException | None) -> None:
    told = None
    if error is not None:
        code = error.exit_code if isinstance(error, UserError) else 1
        told = {"type": type(error).__name__, "message": str(error), "exit_code": code}
    run.update_status(status=status, error=told, ended=now())
    if (tracked := tracking.send(config, run)) is not None:
        run.update_status(tracking=tracked)
    run.record([run.config_file, run.status_file])


def stage_module(name: str) -> ModuleType:
    """The module of a stage, imported when it is due: some bring torch with them."""
    return importlib.import_module(f"finetune.pipeline.{name}")


def _advance(run: RunDir, config: Config, name: str) -> None:
    """Skips, checks or runs one stage."""
    selected = name in config.stages
    later = [other for other in config.stages if STAGES.index(other) > STAGES.index(name)]
    if not selected and not later:
        return
    stage = stage_module(name)
    record: Json = run.status().get("stages", {}).get(name, {})
    if not selected:
        unevaluated = name == "evaluate" and later == ["export"] and not run.eval.exists()  # a card without figures
        untrained = name == "train" and not _needs_training(config, later)
        if name not in ENDS and not unevaluated and not untrained:
            _require(run, config, stage, name, record, later[0])
        return
    wanted, sources = fingerprint(stage, config, run), canonical_digest(stage.sources(config))
    unchanged = record.get("status") == "done" and (record["fingerprint"], record["sources"]) == (wanted, sources)
    if unchanged and _untouched(run, record["files"]) and (name != "prepare" or source.images_present(config, run)):
        print(f"{name}: unchanged, skipped", file=sys.stderr)
        return
    if name == "train" and record and record.get("fingerprint") != wanted:
        _set_aside(run.train)
        _forget(run, run.train)
    _run_stage(run, config, stage, name, {"fingerprint": wanted, "sources": sources})


def _needs_training(config: Config, later: Sequence[str]) -> bool:
    """Whether a call builds on training: not where the adapter comes from elsewhere, or none is asked or exported."""
    return config.model.adapter is None and ("tuned" in config.evaluate.models or "export" in later)


def _run_stage(run: RunDir, config: Config, stage: ModuleType, name: str, identity: Json) -> None:
    def note(**fields: object) -> None:
        stages = run.status()["stages"]
        run.update_status(stages=stages | {name: {"status": "started", "seconds": None} | identity | fields})

    note()
    start = time.monotonic()
    try:
        files = stage.run(config, run)
    except BaseException:
        note(status="failed", seconds=round(time.monotonic() - start, 3))
        raise
    run.record(files)
    _forget(run, {"prepare": run.data, "evaluate": run.eval}.get(name, run.root / name))
    digests = {path.relative_to(run.root).as_posix(): sha256_file(path) for path in files}
    seconds = round(time.monotonic() - start, 3)
    note(status="done", seconds=seconds, files=digests)
    print(f"{name}: done in {seconds:.1f} s", file=sys.stderr)


def _require(run: RunDir, config: Config, stage: ModuleType, name: str, record: Json, later: str) -> None:
    """Checks a stage that is not run but that a later one builds on."""
    if record.get("status") != "done":
        raise ConfigError(f"stages: {later} needs {name}, which has not finished in {run.root}; add it to stages.")
    if record["fingerprint"] != fingerprint(stage, config, run):
        raise IntegrityError(
            f"{run.root}: {name} was made from another configuration or other files than {later} is asked to use. "
            f"Add {name} to stages, or give the settings with which it was made (see {run.config_file.name})."
        )


def _untouched(run: RunDir, files: dict[str, str]) -> bool:
    return all((run.root / name).is_file() and sha256_file(run.root / name) == sha for name, sha in files.items())


def _set_aside(folder: Path) -> None:
    """Moves the result of another configuration out of the way; nothing is deleted."""
    if folder.exists():
        number = sum(1 for _ in folder.parent.glob(f"{folder.name}.replaced-*")) + 1
        kept = folder.rename(folder.with_name(f"{folder.name}.replaced-{number}"))
        print(f"{folder.name}: the configuration or the data changed; the former result is in {kept}", file=sys.stderr)


def _forget(run: RunDir, folder: Path) -> None:
    """Records that files of a replaced result are gone on purpose, so that `verify` does not miss them."""
    paths = [run.root / name for name in run.audit()]
    run.record([path for path in paths if path.is_relative_to(folder) and not path.exists()])


@contextmanager
def _terminable() -> Iterator[None]:
    """Turns SIGTERM (Slurm, Kubernetes) into `InterruptedRun`, so that the state is recorded and exit code is 75."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise InterruptedRun("stopped by SIGTERM; the same command continues.")

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _versions() -> dict[str, str]:
    found = {"finetune": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _git_commit() -> str | None:
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():  # installed into an environment inside somebody else's repository
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
