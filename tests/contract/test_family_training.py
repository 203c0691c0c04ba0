"""The contract of a family, second part: adapting, freezing, merging, resuming."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from contract import clauses
from training import micro, micro_run

from finetune.config.schema import ModelConfig, TargetsConfig
from finetune.errors import ConfigError, InterruptedRun
from finetune.families import _base as families
from finetune.models.encoding import Encoder
from finetune.models.quantisation import four_bit_modules
from finetune.pipeline import train as stage
from finetune.training import lora
from finetune.training import trainer as sft
from finetune.training.loss import answer_loss, count_labels

PARTS = ("vision_tower", "projector", "language_model")


def components(family, names):
    return {families.component_of(family, name) for name in names}


def batch_for(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised([micro.example(0), micro.example(1, "yes")], [[micro.picture(0)], [micro.picture(1)]])


def logits(model, batch):
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


@clauses.of("lora")
def test_lora_reaches_the_language_model_alone(name, load):
    loaded, config = load(name)
    model = lora.adapt(loaded, config)
    assert components(loaded.family, (key for key, _ in lora.trainable(model))) == {"language_model"}
    answer_loss(model, batch := batch_for(loaded), count_labels([batch])).backward()
    grown = [key for key, value in lora.trainable(model) if "lora_B" in key and value.grad is not None]
    assert any(bool(model.get_parameter(key).grad.abs().sum()) for key in grown)


@clauses.of("lora")
def test_lora_reaches_each_component_that_is_named(name, load):
    loaded, config = load(name)
    for part in ("vision_tower", "language_model"):
        method = replace(config.method, targets=TargetsConfig(**{**dict.fromkeys(PARTS, "none"), part: "all"}))
        plan = lora.lora_config(loaded.model, loaded.family, method)
        reached = {*plan.target_modules, *(plan.target_parameters or [])}
        assert components(loaded.family, reached) == {part}
    skipped = loaded.family.linear_skip
    assert not any(key.endswith(skipped) for key in reached if skipped)
    assert bool(loaded.family.experts) == bool(plan.target_parameters)


@pytest.mark.families
def test_dropout_before_bare_experts_is_refused(load):
    loaded, config = load("llama4")
    with pytest.raises(ConfigError, match=r"method.dropout=0.1: the experts of llama4 are bare parameters"):
        lora.lora_config(loaded.model, loaded.family, replace(config.method, dropout=0.1))
    attention = replace(config.method, dropout=0.1, targets=TargetsConfig("none", "none", "attention"))
    assert not lora.lora_config(loaded.model, loaded.family, attention).target_parameters


@clauses.of("four_bit")
def test_four_bit_reaches_the_language_model_alone(name, load):
    loaded, config = load(name, quantise="nf4")
    assert components(loaded.family, four_bit_modules(loaded.model)) == {"language_model"}
    model = lora.adapt(loaded, config)
    answer_loss(model, batch := batch_for(loaded), count_labels([batch])).backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for _, value in lora.trainable(model))


@clauses.of("frozen")
def test_frozen_tensors_keep_every_bit(name, load, shared):
    loaded, config = load(name, targets=TargetsConfig("none", "full", "attention"))
    model = lora.adapt(loaded, config)
    frozen = {key: value.detach().clone() for key, value in model.named_parameters() if not value.requires_grad}
    batch = batch_for(loaded)
    optimiser = torch.optim.SGD([value for _, value in lora.trainable(model)], lr=0.5)
    answer_loss(model, batch, count_labels([batch])).backward()
    optimiser.step()
    assert all(torch.equal(value, frozen[key]) for key, value in model.named_parameters() if key in frozen)
    assert components(loaded.family, frozen) >= {"vision_tower", "language_model"}
    with model.disable_adapter():
        off = logits(model, batch)
    assert torch.equal(off, logits(shared(name).model, batch))


@clauses.of("merged")
def test_merged_weights_answer_as_the_adapter(name, load):
    loaded, config = load(name)
    model = lora.adapt(loaded, config)
    for key, value in lora.trainable(model):
        if "lora_B" in key:
            torch.nn.init.normal_(value, std=0.05)
    batch = batch_for(loaded)
    with_adapter = logits(model, batch)
    with model.disable_adapter():
        assert (logits(model, batch) - with_adapter).abs().max() > 1e-3
    torch.testing.assert_close(logits(model.merge_and_unload(), batch), with_adapter, rtol=1e-4, atol=1e-4)


@clauses.of("resumed")
def test_resumed_is_uninterrupted(name, folder_of, tmp_path, monkeypatch):
    settings = {"epochs": 1.0, "batch_size": 2, "accumulate": 1, "validate": "never", "augment": "flips"}
    config = replace(
        micro_run.config(folder_of(name), **settings, checkpoint=1),
        model=ModelConfig(family=name, path=str(folder_of(name))),
    )
    config = replace(config, method=replace(config.method, targets=TargetsConfig("none", "none", "all"), dropout=0.0))
    runs = [micro_run.prepare(tmp_path / kind, train=6, val=0) for kind in ("whole", "halved")]
    stage.run(config, runs[0])
    original = sft.AnswerTrainer.training_step

    def interrupted(trainer, *args, **kwargs):
        if trainer.state.global_step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(trainer, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(sft.AnswerTrainer, "training_step", interrupted)
        with pytest.raises(InterruptedRun):
            stage.run(config, runs[1])
    stage.run(config, runs[1])
    assert runs[1].status()["resumed_from_step"] == 2
    assert micro_run.digests(runs[0].train / "adapter") == micro_run.digests(runs[1].train / "adapter")
    assert micro_run.without_times(runs[0]) == micro_run.without_times(runs[1])
