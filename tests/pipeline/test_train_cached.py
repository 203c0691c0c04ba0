"""Training on features from the cache is training on pixels: same losses, same adapter, also when it is resumed."""

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from training import micro, micro_run

from finetune.config.schema import TargetsConfig
from finetune.errors import InterruptedRun
from finetune.models import feature_cache, feature_store, vision_features
from finetune.models.encoding import Encoder
from finetune.pipeline import train as stage
from finetune.predictors import local
from finetune.rundir import RunDir
from finetune.training import sample_checks
from finetune.training import trainer as sft


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("micro"))


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def looked_at(monkeypatch):
    """Every image that the tower is run over."""
    seen, here = [], os.getpid()
    original = vision_features.Tower.__call__

    def counting(self, image, *more):
        assert os.getpid() == here  # a loader worker has no business in the model
        seen.append(self.key(image))
        return original(self, image, *more)

    monkeypatch.setattr(vision_features.Tower, "__call__", counting)
    return seen


def frozen(model, **train):
    config = micro_run.config(model, augment="none", **train)
    return replace(config, method=replace(config.method, targets=TargetsConfig("none", "none", "all")))


def adapter(run):
    return load_file(run.parts(0)[0].weights)


def test_with_and_without_it_is_one_adapter_and_the_second_run_looks_at_nothing(model, tmp_path, looked_at, capsys):
    runs = {}
    for name, way in (("off", "off"), ("on", "auto"), ("again", "on")):
        runs[name] = micro_run.prepare(tmp_path / name)
        stage.run(frozen(model, feature_cache=way), runs[name])
        if name == "on":
            assert len(looked_at) == len(set(looked_at)) == 14  # 10 examples and 4 of validation, once in three epochs
    assert len(looked_at) == 14
    told = capsys.readouterr().err
    assert "feature cache: off (train.feature_cache=off)" in told
    assert told.count("feature cache: on (tower and projector are frozen, images not augmented)") == 2
    off, on, again = (adapter(runs[name]) for name in ("off", "on", "again"))
    assert any(bool(torch.count_nonzero(value)) for name, value in off.items() if "lora_B" in name)
    for name, value in off.items():
        torch.testing.assert_close(on[name], value, rtol=0, atol=1e-6)
        assert torch.equal(on[name], again[name])
    losses = {name: [row["loss"] for row in micro_run.lines(run.train / "log.jsonl")] for name, run in runs.items()}
    assert losses["on"] == pytest.approx(losses["off"], abs=1e-6)
    assert losses["on"] == losses["again"]


def test_stopped_and_continued_is_uninterrupted_bit_for_bit(model, tmp_path, monkeypatch):
    whole, run = micro_run.prepare(tmp_path / "whole"), micro_run.prepare(tmp_path / "run")
    config = frozen(model)
    stage.run(config, whole)
    original = sft.AnswerTrainer.training_step

    def stop(trainer, *args):
        if trainer.state.global_step == 4:
            trainer.interruption.name = "SIGTERM"
        return original(trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(sft.AnswerTrainer, "training_step", stop)
        with pytest.raises(InterruptedRun):
            stage.run(config, run)
    stage.run(config, run)
    assert run.status()["resumed_from_step"] == 5
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert micro_run.without_times(run) == micro_run.without_times(whole)


def test_what_was_read_once_is_read_from_memory(model, tmp_path, monkeypatch):
    run, read = micro_run.prepare(tmp_path / "run", train=6, val=0), []
    original = feature_store.Store.read
    monkeypatch.setattr(feature_store.Store, "read", lambda own, key: read.append(key) or original(own, key))
    stage.run(frozen(model, epochs=3.0), run)
    assert len(set(read)) == 6
    assert len(read) == 6
    read.clear()
    monkeypatch.setattr(feature_cache, "MEMORY_BYTES", 0)
    stage.run(frozen(model, epochs=3.0), micro_run.prepare(tmp_path / "full", train=6, val=0))
    assert len(read) == 3 * 6 + 1


def test_with_loader_workers_it_is_the_same_adapter(model, tmp_path, looked_at):
    runs = [micro_run.prepare(tmp_path / name, train=6, val=0) for name in ("one", "none")]
    for workers, run in zip((1, 0), runs, strict=True):
        config = frozen(model, epochs=2.0)
        stage.run(replace(config, hardware=replace(config.hardware, workers=workers)), run)
    assert len(looked_at) == len(set(looked_at)) == 6
    digests = [micro_run.digests(run.train / "adapter") for run in runs]
    assert digests[0] == digests[1]


def test_an_image_goes_through_the_processor_once(model, tmp_path, monkeypatch):
    """Its text and its pixels come of one call; the longest is shown before step 1, for the estimate of memory."""
    run, asked = micro_run.prepare(tmp_path / "run", train=6, val=0), []
    original = Encoder._process
    monkeypatch.setattr(Encoder, "_process", lambda own, *args: asked.append(args) or original(own, *args))
    monkeypatch.setattr(sample_checks, "show_supervision", lambda *_: None)
    stage.run(frozen(model, epochs=3.0), run)
    assert len(asked) == 6


def test_what_is_kept_decides_nothing_about_the_result(model, tmp_path):
    run = micro_run.prepare(tmp_path / "run", train=2, val=0)
    config = frozen(model)
    assert stage.reads(config, run) == stage.reads(frozen(model, feature_cache="off", feature_cache_max_gb=1.0), run)


def test_base_and_tuned_model_share_one_look_at_each_image(model, tmp_path, looked_at):
    run = micro_run.prepare(tmp_path / "run", train=4, val=2)
    config = frozen(model, epochs=0.5, validate="never")
    stage.run(config, run)
    (part,) = run.parts(0)
    looked_at.clear()
    predictor = local.opened(config, RunDir(run.root), part, ["base", "tuned"])
    examples = [replace(micro.example(n), images=(micro.ImageRef(f"images/{n:03d}.png"),)) for n in range(4, 6)]
    rows = {who: list(predictor.predict(examples, run.data, "score", who)) for who in ("base", "tuned")}
    assert len(looked_at) == 2
    live = local.opened(replace(config, train=replace(config.train, feature_cache="off")), run, part, ["tuned"])
    for mine, theirs in zip(rows["tuned"], live.predict(examples, run.data, "score", "tuned"), strict=True):
        assert mine.probabilities == pytest.approx(theirs.probabilities, abs=1e-6)
        assert mine.image_sha256 == theirs.image_sha256
