import copy
import hashlib
import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from training import micro, micro_run
from transformers import AutoModelForImageTextToText

from finetune.config.schema import (
    Config,
    HardwareConfig,
    LearningRates,
    MethodConfig,
    ModelConfig,
    TargetsConfig,
    TrainConfig,
)
from finetune.errors import ConfigError
from finetune.families import _base as families
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.rundir import RunDir
from finetune.training import lora
from finetune.training.loss import answer_loss, count_labels


def adapted(loaded, *targets, **method):
    config = Config(seed=1, method=MethodConfig(rank=4, targets=TargetsConfig(*targets), **method))
    return lora.adapt(loaded, config)


def batch_for(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised(
        [micro.example(0, "no"), micro.example(1, "yes")], [[micro.picture(0)], [micro.picture(1)]]
    )


def steps(model, batch, count=2):
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(count):
        optimiser.zero_grad()
        answer_loss(model, batch, count_labels([batch])).backward()
        optimiser.step()


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def fingerprints(model):
    """Of every tensor of the base, whether it is marked as frozen or not: what should not train is what counts."""
    return {
        name: hashlib.sha256(p.detach().numpy().tobytes()).hexdigest()
        for name, p in model.named_parameters()
        if ".lora_" not in name
    }


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("none", "none", "all"), {"language_model": 14}),
        (("attention", "none", "attention"), {"vision_tower": 8, "language_model": 8}),
        (("all", "all", "none"), {"vision_tower": 12, "projector": 1}),
    ],
)
def test_lora_reaches_what_the_target_names_and_nothing_else(loaded, targets, expected):
    model = adapted(loaded, *targets)
    rows = lora.table(model, loaded.family)
    assert {part: row["modules"] for part, row in rows.items() if row["trained"]} == expected
    assert all(".lora_" in name for name, _ in lora.trainable(model))


def test_the_table_counts_the_base_and_what_trains(loaded):
    numbers = {"vision_tower": 0, "projector": 0, "language_model": 0, "head": 0}
    for name, parameter in loaded.model.named_parameters():
        numbers[families.component_of(loaded.family, name)] += parameter.numel()
    rows = lora.table(adapted(loaded, "full", "none", "attention"), loaded.family)
    assert {part: row["parameters"] for part, row in rows.items()} == numbers
    assert rows["vision_tower"]["trained"] == numbers["vision_tower"]
    # q and o: 32x32; k and v: 32x16; two layers; rank 4
    assert rows["language_model"]["trained"] == 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16))
    assert rows["head"]["trained"] == 0


def test_frozen_tensors_keep_every_bit(loaded):
    model = adapted(loaded, "attention", "none", "all")
    before = fingerprints(model)
    steps(model, batch_for(loaded))
    assert fingerprints(model) == before
    assert len(before) > 50


@pytest.mark.parametrize("targets", [("full", "full", "all"), ("none", "none", "full"), ("all", "full", "none")])
def test_switched_off_adapter_is_the_base_bit_for_bit(loaded, targets):
    batch = batch_for(loaded)
    base = logits(loaded.model, batch)
    model = adapted(loaded, *targets)
    torch.testing.assert_close(logits(model, batch), base)
    steps(model.train(), batch)
    assert not torch.allclose(logits(model, batch), base, atol=1e-3)
    with model.disable_adapter():
        assert torch.equal(logits(model, batch), base)


@pytest.mark.parametrize("targets", [("full", "full", "all"), ("none", "none", "all"), ("none", "none", "full")])
def test_plain_peft_loads_what_was_saved(loaded, micro_model, tmp_path, targets):
    batch = batch_for(loaded)
    model = adapted(loaded, *targets)
    steps(model, batch)
    tuned = logits(model, batch)
    files = lora.save_adapter(model, loaded, tmp_path / "adapter", RunDir(tmp_path))
    assert [path.name for path in files] == ["adapter_config.json", "adapter_model.safetensors", "finetune.json"]
    plain = AutoModelForImageTextToText.from_pretrained(micro_model, dtype=torch.float32)
    with models.known_warnings():
        plain = PeftModel.from_pretrained(plain, tmp_path / "adapter")
    assert torch.equal(logits(plain, batch), tuned)


def test_attach_loads_it_too_and_the_files_name_no_machine(loaded, micro_model, tmp_path):
    batch = batch_for(loaded)
    model = adapted(loaded, "none", "none", "all")
    steps(model, batch)
    tuned = logits(model, batch)
    lora.save_adapter(model, loaded, tmp_path / "adapter", RunDir(tmp_path))
    fresh = models.load(Config(model=ModelConfig(path=str(micro_model))))
    assert torch.equal(logits(models.attach(fresh, tmp_path / "adapter"), batch), tuned)
    plan = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert plan["base_model_name_or_path"] is None
    assert plan["target_modules"] == sorted(plan["target_modules"])
    assert all(name.startswith("model.text_model.layers.") for name in plan["target_modules"])


def test_tied_embedding_and_head_stay_one_while_the_language_model_trains(loaded):
    model = adapted(loaded, "none", "none", "full")
    steps(model, batch_for(loaded))
    base = model.get_base_model()
    head = base.get_output_embeddings().modules_to_save["default"].weight
    assert head is base.get_input_embeddings().weight


def test_the_seed_alone_decides_the_first_values(loaded, micro_model):
    first = lora.snapshot(adapted(loaded, "none", "all", "all"))
    fresh = models.load(Config(model=ModelConfig(path=str(micro_model))))
    torch.manual_seed(99)
    again = lora.snapshot(adapted(fresh, "none", "all", "all"))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_component_without_such_layers_is_an_error(loaded):
    with pytest.raises(ConfigError, match=r"method.targets.projector=attention: the projector of idefics3 has no such"):
        adapted(loaded, "none", "attention", "all")


def test_rates_follow_the_component(loaded):
    model = adapted(loaded, "full", "all", "all")
    train = TrainConfig(learning_rate=1e-3, learning_rates=LearningRates(vision_tower=1e-5))
    groups = lora.parameter_groups(model, loaded.family, train, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in lora.trainable(model)}
    seen = 0
    for group in groups:
        for parameter in group["params"]:
            part = families.component_of(loaded.family, names[id(parameter)])
            assert group["lr"] == (1e-5 if part == "vision_tower" else 1e-3)
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
            seen += 1
    assert seen == len(names)


def test_a_snapshot_of_another_adapter_is_refused(loaded):
    model = adapted(loaded, "none", "none", "attention")
    values = copy.copy(lora.snapshot(model))
    values.popitem()
    with pytest.raises(KeyError, match="differ"):
        lora.restore(model, values)


def test_the_printed_table_names_every_component(loaded, capsys):
    lora.show(lora.table(adapted(loaded, "none", "none", "all"), loaded.family))
    printed = capsys.readouterr().err
    assert all(part in printed for part in ("vision_tower", "projector", "language_model", "head", "4-bit"))


def test_four_bit_base_stays_four_bit_and_learns(micro_model, tmp_path):
    config = micro_run.config(micro_model)
    config = replace(
        config, method=replace(config.method, quantise="nf4", targets=TargetsConfig("none", "full", "all"))
    )
    loaded = models.load(config)
    model = lora.adapt(loaded, config)
    rows = lora.table(model, loaded.family)
    linear = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)  # two layers: q, o; k, v; gate, up, down
    assert [row["quantised"] for row in rows.values()] == [0, 0, linear, 0]
    batch = batch_for(loaded)
    before = answer_loss(model, batch, count_labels([batch])).item()
    steps(model, batch, count=5)
    assert answer_loss(model, batch, count_labels([batch])).item() < before


def test_gradients_come_through_four_bits_after_an_evaluation_as_before(micro_model, monkeypatch):
    """On any CPU: bitsandbytes is told that this one multiplies in bf16, where it would repack the weights."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    config = Config(model=ModelConfig(path=str(micro_model)), hardware=HardwareConfig(device="cpu"))
    loaded = models.load(config, quantise=True)
    batch, model = batch_for(loaded), lora.adapt(loaded, Config(method=MethodConfig(rank=2, dropout=0.0)))

    def gradients():
        model.train()
        model.zero_grad()
        answer_loss(model, batch, count_labels([batch])).backward()
        return {name: value.grad.clone() for name, value in lora.trainable(model) if value.grad is not None}

    before = gradients()
    model.eval()
    with torch.no_grad():
        answer_loss(model, batch, count_labels([batch]))
    after = gradients()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_record_keeps_full_names_however_many(loaded, tmp_path):
    """PEFT replaces 20 names and more by suffixes such as `q_proj`, in an order that changes with every process."""
    model = adapted(loaded, "all", "all", "all")
    lora.save_adapter(model, loaded, tmp_path / "adapter", RunDir(tmp_path))
    names = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["target_modules"]
    modules = dict(AutoModelForImageTextToText.from_pretrained(loaded.source).named_modules())
    assert len(names) == 12 + 1 + 14
    assert all(isinstance(modules[name], torch.nn.Linear) for name in names)
