"""What a training is spared each step: modes and gradients are those that the library's own walks would leave."""

from types import SimpleNamespace

import accelerate
import pytest
import torch
from torch import nn

from finetune.training import trainer as sft
from finetune.training.steady import Learning, remember_lomo, steady


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
