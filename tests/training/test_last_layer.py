"""The last decoder layer at label positions alone: what is computed, and that nothing that is learnt changes."""

import pytest
import torch
from training import micro

from finetune.config.schema import Config, MethodConfig, TargetsConfig
from finetune.models.encoding import Encoder
from finetune.training import lora
from finetune.training.loss import answer_loss, count_labels, last_layer_at_labels


def batch_of(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    examples = [micro.example(number, target) for number, target in enumerate(("no", "scratch and dent"))]
    return encoder.supervised(examples, [[micro.picture(number)] for number in range(2)])


def adapted(loaded, target="all"):
    model = lora.adapt(loaded, Config(method=MethodConfig(rank=2, targets=TargetsConfig("none", "none", target))))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.fill_(0.02)  # as it comes, B is zero, and so is the gradient of A
    model.train()
    return model


def learnt(model, batch):
    model.zero_grad()
    loss = answer_loss(model, batch, count_labels([batch]))
    loss.backward()
    return loss.item(), {name: value.grad.clone() for name, value in lora.trainable(model) if value.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("target", ["all", "attention", "full"])
def test_loss_and_gradients_are_the_same(loaded, target, checkpointing):
    model, batch = adapted(loaded, target), batch_of(loaded)
    if checkpointing:
        model.activation_checkpointing_enable()
    loss, gradients = learnt(model, batch)
    last_layer_at_labels(loaded.model, loaded.family)
    again, same = learnt(model, batch)
    assert again == pytest.approx(loss, rel=1e-6)
    assert same.keys() == gradients.keys()
    assert all(torch.allclose(same[name], value, rtol=1e-4, atol=1e-6) for name, value in gradients.items())


def test_it_runs_at_label_positions_and_the_layers_before_it_everywhere(loaded):
    model, batch = adapted(loaded), batch_of(loaded)
    last_layer_at_labels(loaded.model, loaded.family)
    layers, seen = loaded.model.model.text_model.layers, {}
    for index in (len(layers) - 2, len(layers) - 1):
        for name, module in (("down", layers[index].mlp.down_proj), ("out", layers[index].self_attn.o_proj.base_layer)):
            module.register_forward_hook(lambda _, given, __, key=(index, name): seen.update({key: given[0].shape[1]}))
    answer_loss(model, batch, count_labels([batch]))
    columns = {column - 1 for _, column in (batch["labels"] != -100).nonzero().tolist()}
    first, last = len(layers) - 2, len(layers) - 1
    tokens = batch["input_ids"].shape[1]
    assert seen == {
        (first, "down"): tokens,
        (first, "out"): tokens,
        (last, "down"): len(columns),
        (last, "out"): len(columns),
    }


def test_without_positions_everything_runs(loaded):
    batch = batch_of(loaded)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        expected = loaded.model(**inputs).logits
        last_layer_at_labels(loaded.model, loaded.family)
        answer_loss(loaded.model, batch, 1.0)  # positions of an earlier pass do not stay
        assert torch.equal(loaded.model(**inputs).logits, expected)
        assert torch.equal(loaded.model(**inputs, logits_to_keep=1).logits, expected[:, -1:])


def test_experts_are_left_alone(loaded):
    last = loaded.model.model.text_model.layers[-1]
    last.mlp.experts = torch.nn.Parameter(torch.zeros(2, 3, 4))
    last_layer_at_labels(loaded.model, loaded.family)
    assert "forward" not in vars(last.mlp)
    assert "forward" in vars(last.self_attn.o_proj)
