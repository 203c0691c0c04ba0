"""The process that the user started: it runs the stages itself, lets ranks train, and keeps lock, record and exit code.

torchrun turns every exit code into 1, so each rank leaves a note of how it ended, in a folder of the run that is gone
afterwards. To stop them a file is left there too: no signal has to find its way to every node.
"""

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from finetune.config.compose import run_folder
from finetune.config.schema import Config
from finetune.errors import ConfigError, InterruptedRun, ResourceError, UserError
from finetune.rundir import Json, RunDir, read_json
from finetune.training import jobs
from finetune.training.ranks import LOCK
from finetune.training.signals import Interruption

_PDEATHSIG = 1
LOOK_S = 0.3
"""Seconds between two looks at whether the user wants to stop."""


def train(config: Config, run: RunDir) -> list[Path]:
    """Trains the run in ranks and returns the files that the main one left.

    Raises:
        UserError: what a rank raised.
        InterruptedRun: the ranks saved their state.
        ResourceError: a rank was ended from outside, or ranks of an earlier command are not gone yet.
    """
    if config.hardware.device == "cpu" and config.hardware.deepspeed:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of the ranks: DeepSpeed takes a GPU wherever it sees one
    with run.lock(LOCK):
        pass
    shutil.rmtree(run.notes, ignore_errors=True)
    run.make(run.notes)
    try:
        code, stopped = _supervised(jobs.ranks_command(config, run.root), run, config.launch.processes)
        return _outcome(run, code, stopped)
    finally:
        shutil.rmtree(run.notes, ignore_errors=True)


def _supervised(command: list[str], run: RunDir, processes: int) -> tuple[int, bool]:
    """Runs the ranks to their end; returns the exit code of torchrun and whether they were asked to stop."""
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    with Interruption().watch() as asked:
        try:
            process = subprocess.Popen(
                command, env=environment, stdout=sys.stderr.fileno(), start_new_session=True, preexec_fn=_die_with_me
            )
        except FileNotFoundError as error:
            raise ResourceError(f"launch: {command[0]} is not on the PATH of this machine.") from error
        while process.poll() is None:
            if asked.requested:
                run.stop_file.touch()
            try:
                process.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                continue
    return process.returncode, asked.requested


def _die_with_me() -> None:
    """Asks the kernel to end torchrun, and with it the ranks, if this process is killed: nobody held the lock."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)


def _outcome(run: RunDir, code: int, stopped: bool) -> list[Path]:
    found = [read_json(path) for path in sorted(run.notes.glob("rank-*.json"))]
    failed = [note for note in found if note["error"]]
    told = [note for note in failed if note["error"] != InterruptedRun.__name__] or failed
    if told:
        raise _raised(told[0])
    if code or not found:
        raise ResourceError(
            f"training ended with code {code} and no rank said why: one was killed from outside, most often for "
            "memory. The same command continues from the last checkpoint."
        )
    return [run.root / name for note in found for name in note["files"]]


def _raised(note: Json) -> Exception:
    kinds: dict[str, type[UserError]] = {kind.__name__: kind for kind in UserError.__subclasses__()}
    if note["error"] in kinds:
        return kinds[note["error"]](note["message"])
    return RuntimeError(f"rank {note['rank']} failed: {note['error']}: {note['message']} (its traceback is above)")


def takes_over(config: Config, arguments: list[str]) -> bool:
    """Prints the job with `launch.dry_run`, or hands it to Slurm; False where this process runs the stages itself."""
    run = RunDir(run_folder(config), int(config.run.file_mode, 8))
    queued = config.launch.kind == "slurm" and not jobs.in_allocation()
    if config.launch.dry_run:
        job = (
            jobs.slurm_script(config, run.root, arguments)
            if queued
            else shlex.join(jobs.ranks_command(config, run.root))
        )
        print(job.rstrip("\n"))
    elif queued:
        submit(config, run, arguments)
    return queued or config.launch.dry_run


def submit(config: Config, run: RunDir, arguments: list[str]) -> None:
    """Hands the same command to Slurm and, with `launch.wait`, waits for its end.

    Raises:
        UserError: the job ended with that exit code.
        ResourceError: Slurm is not here or refuses.
    """
    script = jobs.slurm_script(config, run.root, arguments)
    run.make(run.root)
    command = ["sbatch", "--parsable", *(["--wait"] if config.launch.wait else [])]
    try:
        done = subprocess.run(command, input=script, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise ResourceError("launch=slurm: sbatch is not on the PATH of this machine.") from error
    number = done.stdout.strip().split(";")[0]
    if not number:
        raise ResourceError(f"launch=slurm: sbatch refused the job (exit code {done.returncode}); its reason is above.")
    log = run.root / f"slurm-{number}.log"
    print(f"job: {number}, log: {log}", file=sys.stderr)
    if done.returncode:
        raise _ended(run, done.returncode, log)


def _ended(run: RunDir, code: int, log: Path) -> Exception:
    """The error of a job, by its exit code; the words are those of its record."""
    kinds: dict[int, type[UserError]] = {kind.exit_code: kind for kind in UserError.__subclasses__()}
    told = (run.status().get("error") or {}).get("message") or f"the job ended with exit code {code}"
    return kinds.get(code, ResourceError)(f"{told} (see {log})")


def require_own_start(config: Config) -> None:
    """Refuses to run the stages once a rank.

    Raises:
        ConfigError: this process was started by torchrun.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "this command was started by torchrun, which would run every stage once a rank. Start it once with "
            "launch=torchrun launch.processes=N; it starts torchrun for the training itself."
        )
