"""launch=torchrun with real ranks: the command that was typed ends as its ranks do."""

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from safetensors.torch import load_file
from training import micro, micro_run, rank_jobs

from finetune.config.compose import to_yaml
from finetune.config.schema import LaunchConfig
from finetune.errors import DataError, InterruptedRun
from finetune.pipeline import train as stage
from finetune.training import fit

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("micro"))


def prepared(root, config):
    """A run as it is when its training begins: ranks read its config.yaml."""
    run = rank_jobs.prepare(root)
    run.write_text(run.config_file, to_yaml(config))
    return run


@pytest.fixture(scope="module")
def config(model):
    made = rank_jobs.config(model, "zero2")
    made = replace(made, train=replace(made.train, epochs=4.0))
    return replace(made, launch=LaunchConfig(kind="torchrun", processes=2))


def adapter(run):
    return load_file(run.train / "adapter" / "adapter_model.safetensors")


def stop_when_it_trains(run):
    """SIGTERM to this process, which looks after the ranks, once a step is done."""

    def look():
        while not ((run.train / "log.jsonl").exists() and micro_run.lines(run.train / "log.jsonl")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True).start()


def test_sigterm_saves_on_all_ranks_and_the_same_command_continues(config, tmp_path):
    run = prepared(tmp_path / "run", config)
    stop_when_it_trains(run)
    with pytest.raises(
        InterruptedRun, match=r"stopped by a signal to the command that started it after step \d+ of 12"
    ):
        stage.run(config, run)
    done = len(micro_run.lines(run.train / "log.jsonl"))
    assert not (run.train / "adapter").exists()
    assert not run.notes.exists()
    files = stage.run(config, run)
    assert run.train / "adapter" / "adapter_model.safetensors" in files
    assert run.status()["resumed_from_step"] == done
    alone = prepared(tmp_path / "alone", config)
    fit.train_parts(replace(config, hardware=replace(config.hardware, deepspeed=None)), alone)
    ours, theirs = adapter(run), adapter(alone)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4


def test_an_image_that_one_rank_cannot_read_is_named(config, tmp_path):
    run = prepared(tmp_path / "run", config)
    path = run.images / "008.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="'e8'"):
        stage.run(config, run)
