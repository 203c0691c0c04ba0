"""A real SIGKILL in the middle of training, then the same command."""

import os
import signal
import subprocess
import sys
import time

import pytest
from training import micro, micro_run
from training.micro_run import without_times

from finetune.training import checkpoints


@pytest.fixture
def model(tmp_path):
    return micro.save(tmp_path / "micro")


def command(model, run, workers=0):
    """Trains in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", "."]), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "tests/training/micro_run.py", str(model), str(run.root), "3", str(workers)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def await_step(process, run, step):
    log = run.train / "log.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_bytes().splitlines()) >= step):
        time.sleep(0.001)


@pytest.mark.faults
@pytest.mark.parametrize("at_step", [3, 5])
def test_killed_and_run_again_is_uninterrupted_bit_for_bit(model, tmp_path, at_step):
    """A real SIGKILL at whatever instant follows the line of a step, then the same command."""
    whole, killed = (micro_run.prepare(tmp_path / name) for name in ("whole", "killed"))
    first = command(model, whole)
    assert first.communicate()
    assert first.returncode == 0
    process = command(model, killed)
    await_step(process, killed, at_step)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again = command(model, killed)
    assert again.communicate()
    assert again.returncode == 0
    assert killed.status()["resumed_from_step"] > 0
    assert micro_run.digests(killed.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert without_times(killed) == without_times(whole)


@pytest.mark.faults
def test_sigterm_to_the_group_reaches_loader_workers_and_still_saves(model, tmp_path):
    """What Slurm sends. Stock workers die of it, the step waits for their data, and no checkpoint is written."""
    run = micro_run.prepare(tmp_path / "run")
    process = command(model, run, workers=2)
    await_step(process, run, 2)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert "InterruptedRun: stopped by SIGTERM after step" in told, told
    lines = micro_run.lines(run.train / "log.jsonl")
    place, state = checkpoints.newest(run.train / "checkpoints")
    assert (state.step, place.name) == (lines[-1]["step"], f"step-{lines[-1]['step']:08d}")
