"""Variants of LoRA, weights of labels in the loss, and when to stop."""

import math
from dataclasses import replace

import pytest
import torch
from peft.tuners.lora import LoraLayer
from training import micro, micro_run

from finetune.config import compose
from finetune.config.schema import Config, MethodConfig, ModelConfig, TargetsConfig
from finetune.errors import ConfigError
from finetune.models import label_scoring
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.pipeline import train as stage
from finetune.rundir import RunDir
from finetune.training import lora
from finetune.training.collator import Collator, Item, Pictures
from finetune.training.loss import answer_loss, count_labels
from finetune.training.validation import Validator, Verdict


def adapted(loaded, variant):
    method = MethodConfig(rank=4, alpha=8.0, variant=variant, targets=TargetsConfig("none", "none", "all"))
    return lora.adapt(loaded, Config(seed=1, method=method))


def batch_for(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised(
        [micro.example(0, "no"), micro.example(1, "yes")], [[micro.picture(0)], [micro.picture(1)]]
    )


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


def test_a_typed_method_wins_over_the_recipe():
    lora = compose.compose(["recipe=defects", "model=qwen2_5_vl_7b"]).method.targets
    assert (lora.vision_tower, lora.projector, lora.language_model) == ("none", "none", "all")
    full = compose.compose(["recipe=defects", "model=qwen2_5_vl_7b", "method=full"]).method.targets
    assert (full.vision_tower, full.projector, full.language_model) == ("full", "full", "full")
    kept = compose.compose(["recipe=defects", "method=dora"]).method
    assert (kept.variant, kept.targets.vision_tower, kept.targets.language_model) == ("dora", "full", "all")
    narrowed = compose.compose(["recipe=defects", "method=full", "method.targets.vision_tower=none"]).method.targets
    assert (narrowed.vision_tower, narrowed.language_model) == ("none", "full")


@pytest.mark.parametrize(("variant", "scale"), [("lora", 8 / 4), ("rslora", 8 / math.sqrt(4)), ("dora", 8 / 4)])
def test_the_scale_of_the_update(loaded, variant, scale):
    layers = [module for module in adapted(loaded, variant).modules() if isinstance(module, LoraLayer)]
    assert layers
    assert {layer.scaling["default"] for layer in layers} == {scale}


def test_dora_trains_sizes_beside_directions_and_starts_as_the_base(loaded, micro_model, tmp_path):
    batch = batch_for(loaded)
    base = logits(loaded.model, batch)
    model = adapted(loaded, "dora")
    sizes = [name for name, _ in lora.trainable(model) if "lora_magnitude_vector" in name]
    assert len(sizes) == 14  # one a linear layer of two layers
    torch.testing.assert_close(logits(model, batch), base)
    optimiser = torch.optim.AdamW([parameter for _, parameter in lora.trainable(model)], lr=0.05)
    answer_loss(model.train(), batch, count_labels([batch])).backward()
    optimiser.step()
    tuned = logits(model, batch)
    assert not torch.allclose(tuned, base, atol=1e-3)
    lora.save_adapter(model, loaded, tmp_path / "adapter", RunDir(tmp_path))
    fresh = models.load(Config(model=ModelConfig(path=str(micro_model))))
    attached = models.attach(fresh, tmp_path / "adapter")
    assert torch.equal(logits(attached, batch), tuned)
    torch.testing.assert_close(logits(attached.merge_and_unload(), batch), tuned, rtol=1e-4, atol=1e-4)


def test_weights_multiply_the_losses_of_their_rows(loaded):
    batch = batch_for(loaded)
    rows = [{name: value[row : row + 1] for name, value in batch.items()} for row in (0, 1)]
    with torch.no_grad():
        alone = [float(answer_loss(loaded.model, row, 1.0)) for row in rows]
        weighted = batch | {"weights": torch.tensor([1.0, 3.0])}
        tokens = count_labels([weighted])
        found = float(answer_loss(loaded.model, weighted, tokens))
    counts = [count_labels([row]) for row in rows]
    assert tokens == counts[0] + 3 * counts[1]
    assert found == pytest.approx((alone[0] + 3 * alone[1]) / tokens, rel=1e-5)


def test_the_collator_gives_each_row_the_weight_of_its_label(loaded, tmp_path):
    for number in range(2):
        micro.picture(number).save(tmp_path / f"{number:03d}_0.png")
    encoder = Encoder(loaded.processor, loaded.family)
    collator = Collator(encoder, Pictures(encoder, tmp_path), "none", seed=0, weights={"yes": 4.0})
    batch = collator([Item(micro.example(0, "no"), 0), Item(micro.example(1, "yes"), 0)])
    assert batch["weights"].tolist() == [1.0, 4.0]


def test_an_item_without_weight_and_a_grey_picture_leave_no_label(loaded, tmp_path):
    encoder = Encoder(loaded.processor, loaded.family)
    collator = Collator(encoder, Pictures(encoder, tmp_path), "none", seed=0, seeing=True)
    blind = [Item(micro.example(0, "no", images=0), 0), Item(micro.example(1, "yes", images=0), 0, counts=False)]
    batch = collator(blind)
    assert batch["ids"] == ["e0"]
    assert [bool((row != -100).any()) for row in batch["labels"]] == [True, False, False]
    assert batch["pixel_values"].shape[:1] == (3,)
    plain = encoder.supervised([micro.example(0, "no", images=0)], [[]])
    with torch.no_grad():
        expected = answer_loss(loaded.model, plain, count_labels([plain]))
        batch.pop("ids")
        assert float(answer_loss(loaded.model, batch, count_labels([batch]))) == pytest.approx(
            float(expected), rel=1e-5
        )


def test_a_batch_without_any_weight_has_the_loss_zero(loaded):
    batch = batch_for(loaded)
    batch["labels"][:] = -100
    loss = answer_loss(adapted(loaded, "lora"), batch, 5.0)
    assert (float(loss.detach()), loss.requires_grad) == (0.0, True)


def test_evaluation_undoes_weights_as_it_undoes_balance():
    """90 good and 10 bad with weight 9: training saw them as even, so 0.5 means 0.9 in the data."""
    train = [micro.example(i, "good" if i % 10 else "bad") for i in range(100)]
    prior = label_scoring.shift(train, ("good", "bad"), False, {"bad": 9.0})
    assert prior == {"good": pytest.approx(1.8), "bad": pytest.approx(0.2)}
    twice = label_scoring.shift(train, ("good", "bad"), True, {"bad": 3.0})  # even, then 1 to 3
    assert twice == {"good": pytest.approx(0.9 / 0.25), "bad": pytest.approx(0.1 / 0.75)}
    assert label_scoring.shift(train, ("good", "bad"), False, {}) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("train.class_weights={cut:0}", "train.class_weights.cut: got 0, expected more than 0"),
        ("train.class_weights={cutt:2}", "train.class_weights: unknown label 'cutt'. Did you mean 'cut'?"),
        ("train.patience=0", "train.patience: got 0, expected at least 1 validation"),
    ],
)
def test_what_makes_no_sense_is_refused(given, told):
    with pytest.raises(ConfigError) as caught:
        compose.compose(["recipe=defects", given])
    assert told in str(caught.value)


def test_patience_without_validation_is_refused():
    with pytest.raises(ConfigError, match="nothing is validated with"):
        compose.compose(["recipe=defects", "train.patience=2", "train.validate=never"])


def test_training_stops_after_validations_that_find_nothing_better(micro_model, tmp_path, monkeypatch, capsys):
    values = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(Validator, "__call__", lambda self, model: Verdict(next(values), -1.0))
    run = micro_run.prepare(tmp_path / "run", train=4, val=2)
    config = micro_run.config(micro_model, epochs=5.0, patience=2, validate=1)
    stage.run(config, run)
    assert [line["step"] for line in micro_run.lines(run.train / "validation.jsonl")] == [1, 2, 3, 4]
    assert "stopped: nothing better than step 2 in 2 validations" in capsys.readouterr().err
    (run.train / "adapter" / "finetune.json").unlink()
    stage.run(replace(config, hardware=replace(config.hardware, workers=0)), run)  # killed before the adapter was saved
    assert (run.train / "adapter" / "finetune.json").is_file()
    assert len(micro_run.lines(run.train / "log.jsonl")) == 4


def test_eight_bit_optimisers_train_on_a_cpu_too(micro_model, tmp_path):
    run = micro_run.prepare(tmp_path / "run", train=4, val=0)
    stage.run(micro_run.config(micro_model, epochs=2.0, trainer={"optim": "adamw_8bit"}), run)
    lines = micro_run.lines(run.train / "log.jsonl")
    assert lines[-1]["loss"] < lines[0]["loss"]
