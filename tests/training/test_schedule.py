import torch

from finetune.training.trainer import Schedule


def test_momentum_moves_on_what_no_example_of_a_step_reached():
    """As on several ranks, where such a gradient is zero: 1 - 0.1 - 0.1 * 0.9 with a momentum of 0.9."""
    reached, unreached = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([reached, unreached], lr=0.1, momentum=0.9)
    reached.grad, unreached.grad = torch.ones(1), torch.ones(1)
    optimiser.step()
    reached.grad, unreached.grad = torch.zeros(1), None
    Schedule(None).on_pre_optimizer_step(None, None, None, optimizer=optimiser)
    optimiser.step()
    assert reached.item() == unreached.item() == torch.tensor(1 - 0.1 - 0.09).item()
