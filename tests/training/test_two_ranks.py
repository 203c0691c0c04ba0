"""Two ranks over gloo, with real DeepSpeed: what they train is what one rank trains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training import micro, micro_run, rank_jobs

from finetune.pipeline import train as stage
from finetune.rundir import RunDir
from finetune.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]
FORMS = {"ddp": "", "zero1": "zero1", "zero2": "zero2", "zero3": "zero3", "offload": "zero3_offload"}
pytestmark = [pytest.mark.ranks, pytest.mark.timeout(600)]


def in_two_ranks(*arguments: str) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    meeting = ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *torchrun, *meeting, str(ROOT / "tests/training/rank_jobs.py"), *arguments],
        env=environment | {"DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One rank, and then in one pair of ranks: every form to its end, one stopped, and one continued from one rank."""
    root = tmp_path_factory.mktemp("ranks")
    micro.save(root / "model")
    for name in (*FORMS, "one", "stopped", "begun"):
        rank_jobs.prepare(root / name)
    stage.run(rank_jobs.config(root / "model"), RunDir(root / "one"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rank_jobs.trainer.Schedule, "on_step_end", rank_jobs.trainer.Schedule.on_step_end)
        rank_jobs.main(str(root / "model"), str(root), "begun=@4")
    jobs = [f"{name}={template}" for name, template in FORMS.items()]
    in_two_ranks(str(root / "model"), str(root), *jobs, "stopped=zero2@4", "begun=zero3")
    return root


def log(run: Path, name: str) -> list[float]:
    return [line[name] for line in micro_run.lines(run / "train" / "log.jsonl")]


def assert_same(found: Path, wanted: Path) -> None:
    for name, tolerance in (("loss", 1e-5), ("grad_norm", 1e-4), ("learning_rate", 0)):
        assert log(found, name) == pytest.approx(log(wanted, name), abs=tolerance), name
    ours, theirs = (load_file(run / "train/adapter/adapter_model.safetensors") for run in (found, wanted))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_two_ranks_train_what_one_trains(root, form):
    """Losses within 1e-5 and the adapter within 1e-4, with ranks that have no image in a step."""
    assert_same(root / form, root / "one")


def test_the_adapter_moved_at_all(root):
    found, start = (load_file(root / name / "train/adapter/adapter_model.safetensors") for name in ("one", "zero3"))
    assert any(float(value.abs().max()) > 1e-3 for name, value in found.items() if ".lora_B." in name)
    assert start.keys() == found.keys()


def test_a_checkpoint_of_two_ranks_continues_on_one(root):
    place, state = checkpoints.newest(root / "stopped" / "train" / "checkpoints")
    assert (state.step, len(state.generators)) == (4, 2)
    assert sorted(path.suffix for path in place.iterdir() if "weights" in path.name) == [".safetensors"]
    stage.run(rank_jobs.config(root / "model"), RunDir(root / "stopped"))
    assert RunDir(root / "stopped").status()["resumed_from_step"] == 4
    assert_same(root / "stopped", root / "one")


def test_a_checkpoint_of_one_rank_continues_on_two(root):
    assert RunDir(root / "begun").status()["resumed_from_step"] == 4
    assert_same(root / "begun", root / "one")


def test_only_the_main_rank_writes(root):
    lines = micro_run.lines(root / "zero3" / "train" / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert len(micro_run.lines(root / "zero3" / "train" / "validation.jsonl")) == 2
    assert {path.name for path in (root / "zero3" / "train" / "checkpoints").iterdir()} == {
        "step-00000004",
        "step-00000006",
    }
