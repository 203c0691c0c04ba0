"""A real Slurm of one node: the command submits itself, stops on its signal and continues."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from training import slurm_node

from finetune.training import checkpoints

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
SMALL = ["recipe=defects", "data.limit=20", "data.options.parts=20", "data.options.views=1", "stages=[prepare,train]"]
SMALL += ["train.batch_size=4", "train.epochs=3.0", "train.checkpoint=1", "train.validate=never", "hardware.threads=1"]


@pytest.fixture(scope="module")
def cluster():
    """Its folder lies outside of pytest's, whose mode keeps the daemons from reading it."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm_node.slurm(Path(folder)) as environment:
        yield environment


def command(run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "finetune", *SMALL, f"run.dir={run}", "launch=slurm", *more]


def test_a_job_is_stopped_by_its_signal_and_the_same_command_continues(cluster, tmp_path):
    run, log = tmp_path / "run", tmp_path / "run" / "train" / "log.jsonl"
    job = command(run, "launch.processes=2")
    with subprocess.Popen(job, env=cluster, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (log.exists() and log.read_text()):
            time.sleep(0.2)
        number = slurm_node.told(["squeue", "-h", "-o", "%i"], cluster).split()[0]
        subprocess.run(["scancel", "--signal=TERM", "--batch", number], env=cluster, check=True)
        _, told = process.communicate()
    logs = "".join(path.read_text() for path in run.glob("slurm-*.log"))
    assert process.returncode == 75, told + logs
    assert "the state is saved and the same command continues" in told
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    again = subprocess.run(job, env=cluster, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr + "".join(path.read_text() for path in run.glob("slurm-*.log"))
    status = json.loads((run / "run.json").read_text())
    assert (status["status"], status["resumed_from_step"] > 0) == ("done", True)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
    _, state = checkpoints.newest(run / "train" / "checkpoints")
    assert (state.step, len(state.generators)) == (steps[-1], 2)  # two ranks trained
    assert (run / "train" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_job_that_slurm_refuses_says_why(cluster, tmp_path):
    done = subprocess.run(
        command(tmp_path / "run", "launch.options.partition=none"), env=cluster, capture_output=True, text=True
    )
    assert done.returncode == 7
    assert "invalid partition specified: none" in done.stderr
    assert "sbatch refused the job" in done.stderr


def test_a_job_is_left_to_the_queue(cluster, tmp_path):
    done = subprocess.run(
        command(tmp_path / "run", "launch.wait=false", "launch.options.begin=now+3600"),
        env=cluster,
        capture_output=True,
        text=True,
    )
    subprocess.run(["scancel", "--user=root"], env=cluster, check=True)
    assert done.returncode == 0, done.stderr
    assert "job: " in done.stderr
