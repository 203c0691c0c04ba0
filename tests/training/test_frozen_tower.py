import pytest
import torch
from training import micro

from finetune.config.schema import Config, MethodConfig, TargetsConfig
from finetune.models.encoding import Encoder
from finetune.training import lora
from finetune.training.frozen_tower import without_graph
from finetune.training.loss import answer_loss, count_labels

ACTIVATION = (1, (micro.SIDE // micro.PATCH) ** 2, 16)
"""Shape of a hidden state in the micro tower: images, patches, width."""


def adapted(loaded, tower):
    model = lora.adapt(loaded, Config(method=MethodConfig(rank=2, targets=TargetsConfig(tower, "none", "all"))))
    without_graph(loaded.model, loaded.family)
    return model


def batch_for(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised([micro.example(0)], [[micro.picture(0)]])


def kept_activations(model, batch):
    """Shapes that autograd keeps for the backward pass."""
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
        answer_loss(model, batch, count_labels([batch]))
    return shapes


def test_a_frozen_tower_keeps_no_activation_even_with_differentiable_inputs(loaded):
    """What gradient checkpointing does to embeddings, done to the tower's patch embedding."""
    model = adapted(loaded, "none")
    tower = loaded.model.model.vision_model
    tower.embeddings.register_forward_hook(lambda module, args, output: output.requires_grad_(True))
    assert ACTIVATION not in kept_activations(model, batch_for(loaded))


def test_without_the_guard_it_would_keep_them(loaded):
    model = lora.adapt(loaded, Config(method=MethodConfig(rank=2)))
    tower = loaded.model.model.vision_model
    tower.embeddings.register_forward_hook(lambda module, args, output: output.requires_grad_(True))
    assert ACTIVATION in kept_activations(model, batch_for(loaded))


@pytest.mark.parametrize("tower", ["attention", "full"])
def test_a_tower_that_learns_gets_its_gradients(loaded, tower):
    model = adapted(loaded, tower)
    batch = batch_for(loaded)
    answer_loss(model, batch, count_labels([batch])).backward()
    found = [p.grad for name, p in lora.trainable(model) if ".vision_model." in name]
    assert found
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in found)
