import json
import os
import random
import shutil

import numpy as np
import pytest
import torch

from finetune.errors import IntegrityError, ResourceError
from finetune.rundir import RunDir
from finetune.training import checkpoints
from finetune.training.checkpoints import State


def state(step, best=False):
    weights = {"a": torch.full((3,), float(step)), "b": torch.arange(4.0)}
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([parameter], lr=0.1)
    parameter.sum().backward()
    optimiser.step()
    return State(
        step=step,
        weights=weights,
        best={"a": torch.zeros(3), "b": torch.zeros(4)} if best else None,
        optimiser=optimiser.state_dict(),
        scheduler={"last_epoch": step, "_last_lr": [0.1]},
        trainer={"global_step": step},
        verdict={"step": 1, "value": 0.5, "log_probability": -1.0} if best else {},
        base={"base_sha256": "x"},
        generators=[checkpoints.generator_states()],
    )


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


@pytest.fixture
def folder(run):
    return run.train / "checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_back(run, folder):
    written = state(7, best=True)
    place = checkpoints.write(run, folder, written)
    found, read = checkpoints.newest(folder)
    assert found == place
    assert read.step == 7
    assert torch.equal(read.weights["a"], torch.full((3,), 7.0))
    assert torch.equal(read.best["a"], torch.zeros(3))
    assert torch.equal(read.optimiser["state"][0]["exp_avg"], written.optimiser["state"][0]["exp_avg"])
    assert (read.scheduler, read.trainer, read.verdict, read.base) == (
        written.scheduler,
        written.trainer,
        written.verdict,
        written.base,
    )


def test_no_checkpoint_is_none(folder):
    assert checkpoints.newest(folder) is None


def test_two_are_kept_ordered_by_step_not_by_time(run, folder):
    for step in (5, 20, 10):
        place = checkpoints.write(run, folder, state(step))
        os.utime(place, (0, 0) if step == 20 else None)
    assert names(folder) == ["step-00000010", "step-00000020"]
    assert checkpoints.newest(folder)[1].step == 20


def test_every_generator_comes_back():
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    states = checkpoints.generator_states()
    first = (random.random(), np.random.standard_normal(3).tolist(), torch.rand(2).tolist())
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    checkpoints.restore_generators(states)
    assert (random.random(), np.random.standard_normal(3).tolist(), torch.rand(2).tolist()) == first


def truncate(place):
    path = place / "optimiser.pt"
    path.write_bytes(path.read_bytes()[:-1])


def flip(place):
    path = place / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def lose(place):
    (place / "generators.pt").unlink()


def add(place):
    (place / "extra.pt").write_bytes(b"x")


def unlist(place):
    (place / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncate, "optimiser.pt is not what was written"),
        (flip, "weights.safetensors is not what was written"),
        (lose, "generators.pt"),
        (add, "extra.pt"),
        (unlist, "has no manifest.json"),
    ],
)
def test_a_broken_newest_is_set_aside_and_the_one_before_is_used(run, folder, capsys, damage, told):
    checkpoints.write(run, folder, state(10))
    damage(checkpoints.write(run, folder, state(20)))
    assert checkpoints.newest(folder)[1].step == 10
    assert names(folder) == ["broken-step-00000020", "step-00000010"]
    assert told in capsys.readouterr().err


def test_two_broken_ones_of_one_step_are_both_kept(run, folder):
    for _ in range(2):
        flip(checkpoints.write(run, folder, state(20)))
        assert checkpoints.newest(folder) is None
    assert names(folder) == ["broken-step-00000020", "broken-step-00000020-2"]


def test_what_a_kill_leaves_half_written_is_not_a_checkpoint(run, folder):
    place = checkpoints.write(run, folder, state(10))
    shutil.copytree(place, folder / ".step-00000020.partial")
    assert checkpoints.newest(folder)[1].step == 10
    checkpoints.write(run, folder, state(20))
    assert names(folder) == ["step-00000010", "step-00000020"]


def test_a_full_disk_names_the_way_out_and_leaves_the_former_one(run, folder, monkeypatch):
    checkpoints.write(run, folder, state(10))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match=r"step-00000020: No space left on device. Free some space"):
            checkpoints.write(run, folder, state(20))
    assert names(folder) == ["step-00000010"]
    assert checkpoints.newest(folder)[1].step == 10


def test_older_ones_stay_where_the_new_one_does_not_verify(run, folder, monkeypatch):
    for step in (10, 20):
        checkpoints.write(run, folder, state(step))

    def broken(place):
        raise IntegrityError("read back differs")

    monkeypatch.setattr(checkpoints, "verify", broken)
    with pytest.raises(IntegrityError, match="differs"):
        checkpoints.write(run, folder, state(30))
    assert names(folder) == ["step-00000010", "step-00000020", "step-00000030"]


def test_only_plain_values_are_unpickled(run, folder):
    place = checkpoints.write(run, folder, state(10))
    torch.save({"evil": RunDir}, place / "scheduler.pt")
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"]["scheduler.pt"] = checkpoints.sha256_file(place / "scheduler.pt")
    (place / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        checkpoints.newest(folder)
