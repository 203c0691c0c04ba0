"""What a training is spared each step: modes and gradients are those that the library's own walks would leave."""

from types import SimpleNamespace

import accelerate
import pytest
import torch
from torch import nn
from training import micro

from finetune.config import Config, MethodConfig, TargetsConfig
from finetune.encoding import Encoder
from finetune.rundir import RunDir
from finetune.training import lora, part, sft
from finetune.training.loss import answer_loss
from finetune.training.steady import Learning, fuse_lora, remember_lomo, steady


class Counted(nn.Linear):
    """A layer that counts how often its mode is set."""

    walks = 0

    def train(self, mode=True):
        self.walks += 1
        return super().train(mode)


def model():
    whole = nn.Sequential(Counted(2, 2), nn.Dropout(0.5), nn.Linear(2, 1))
    whole[0].requires_grad_(False)
    whole[1].training = False  # as a part of a model is that was loaded for answers
    steady(whole, Learning(whole))
    return whole


def modes(whole):
    return [module.training for module in whole.modules()]


def test_the_first_walk_reaches_every_part_and_later_ones_are_spared():
    whole = model()
    assert modes(whole) == [True, True, False, True]
    assert whole.train() is whole
    assert modes(whole) == [True] * 4
    whole.train()
    assert whole[0].walks == 1


def test_a_validation_in_between_is_noticed():
    whole = model()
    whole.train().eval()
    assert modes(whole) == [False] * 4
    whole.train(True)
    assert modes(whole) == [True] * 4


def test_gradients_are_cleared_of_all_that_learns_and_of_nothing_else():
    whole = model()
    assert [parameter.shape for parameter in Learning(whole)] == [(1, 2), (1,)]
    whole(torch.ones(1, 2)).sum().backward()
    assert whole[2].weight.grad is not None
    whole.zero_grad()
    assert whole[2].weight.grad is None
    assert whole[2].bias.grad is None


def test_clipping_what_learns_is_clipping_the_model():
    whole, twin = model(), model()
    twin.load_state_dict(whole.state_dict())
    for own in (whole, twin):
        own.eval()
        (100 * own(torch.ones(1, 2))).sum().backward()
    norms = [nn.utils.clip_grad_norm_(source.parameters(), 1.0) for source in (Learning(whole), twin)]
    assert norms[0] == norms[1] > 1
    assert torch.equal(whole[2].weight.grad, twin[2].weight.grad)
    assert whole[2].weight.grad.norm() <= 1


def test_a_trainer_clips_to_the_norm_of_its_arguments():
    whole = model()
    whole.eval()
    (100 * whole(torch.ones(1, 2))).sum().backward()
    trainer = SimpleNamespace(learning=Learning(whole), args=SimpleNamespace(max_grad_norm=0.25))
    norm = sft.AnswerTrainer._clip_grad_norm(trainer, whole)
    assert norm > 100  # the gradient of the bias alone is 100
    left = torch.cat([parameter.grad.flatten() for parameter in Learning(whole)]).norm()
    assert left.item() == pytest.approx(0.25, rel=1e-4)


def adapted(loaded, **method):
    wanted = MethodConfig(rank=2, alpha=6, targets=TargetsConfig("attention", "none", "all"), **method)
    model = lora.adapt(loaded, Config(method=wanted)).train()
    for name, value in lora.trainable(model):
        if "lora_B" in name:  # as it comes, B is zero, and so is the gradient of A
            nn.init.normal_(value, std=0.05)
    return model


def loss_of(model, loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    examples, pictures = [micro.example(0), micro.example(1, "dent")], [[micro.picture(0)], [micro.picture(1)]]
    return answer_loss(model, encoder.supervised(examples, pictures), 1)


def learnt(model, loaded):
    model.zero_grad()
    loss = loss_of(model, loaded)
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in lora.trainable(model)}


def ways(model):
    return {type(module.forward).__name__ for module in model.modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_fuse_lora_the_same_is_learnt(loaded, variant):
    model = adapted(loaded, variant=variant)
    loss, gradients = learnt(model, loaded)
    fuse_lora(model)
    assert ways(model) == {"_Fused"}
    again, same = learnt(model, loaded)
    torch.testing.assert_close(again, loss, rtol=1e-6, atol=0)
    for name, value in gradients.items():
        torch.testing.assert_close(same[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))


def test_fuse_lora_an_adapter_can_still_be_left_out_and_merged(loaded):
    model = adapted(loaded)
    with model.disable_adapter():
        base = loss_of(model, loaded)
    own = loss_of(model, loaded)
    fuse_lora(model)
    with model.disable_adapter():
        assert torch.equal(loss_of(model, loaded), base)
    assert abs(own - base) > 1e-3
    model.merge_adapter()
    torch.testing.assert_close(loss_of(model, loaded), own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [{"dropout": 0.1}, {"variant": "dora"}])
def test_layers_with_more_to_do_keep_the_forward_of_the_library(loaded, method):
    model = adapted(loaded, **method)
    fuse_lora(model)
    assert ways(model) == {"method"}


def test_weights_of_lower_precision_keep_it_too(loaded):
    model = adapted(loaded)
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.base_layer.bfloat16()
    fuse_lora(model)
    assert ways(model) == {"method"}


@pytest.mark.parametrize(("world", "way"), [(1, "_Fused"), (2, "method")])
def test_a_training_of_one_process_takes_the_short_way(loaded, tmp_path, monkeypatch, world, way):
    """Of several, DeepSpeed may divide the weights, and must be asked for them through their own modules."""
    monkeypatch.setattr(part.ranks, "world", lambda: world)
    wanted = Config(method=MethodConfig(rank=2, targets=TargetsConfig("none", "none", "all")))
    run = RunDir(tmp_path)
    model = part._adapted(wanted, run, run.parts(0)[0], loaded)
    # the last layer's output projection runs at labels alone, by whichever way
    assert ways(model) - {"_AtPositions"} == {way}


def test_a_package_is_looked_for_once(monkeypatch):
    asked = []
    monkeypatch.setattr(accelerate.optimizer, "is_lomo_available", lambda: bool(asked.append(1)))
    remember_lomo()
    remember_lomo()  # by the next training in this process
    accelerate.Accelerator(cpu=True)
    parameter = nn.Parameter(torch.ones(1))
    wrapped = accelerate.optimizer.AcceleratedOptimizer(torch.optim.SGD([parameter], 0.1))
    for _ in range(3):
        parameter.grad = torch.ones(1)
        wrapped.step()
    assert parameter.item() == pytest.approx(0.7)
    assert len(asked) == 1
