"""A real SIGKILL in the middle of training, then the same command."""

import os
import signal
import subprocess
import sys
import time

import pytest
from training import micro, micro_run
from training.micro_run import without_times


@pytest.fixture
def model(tmp_path):
    return micro.save(tmp_path / "micro")


@pytest.mark.faults
@pytest.mark.parametrize("at_step", [3, 5])
def test_killed_and_run_again_is_uninterrupted_bit_for_bit(model, tmp_path, at_step):
    """A real SIGKILL at whatever instant follows the line of a step, then the same command."""

    def command(run):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", "."]), "OMP_NUM_THREADS": "1"}
        arguments = [sys.executable, "tests/training/micro_run.py", str(model), str(run.root), "3"]
        return subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)

    whole, killed = (micro_run.prepare(tmp_path / name) for name in ("whole", "killed"))
    assert command(whole).wait() == 0
    process = command(killed)
    log = killed.train / "log.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_bytes().splitlines()) >= at_step):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert command(killed).wait() == 0
    assert killed.status()["resumed_from_step"] > 0
    assert micro_run.digests(killed.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert without_times(killed) == without_times(whole)
