import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training import micro

from finetune.config.schema import Config, MethodConfig, TargetsConfig
from finetune.models.encoding import Encoder
from finetune.training import lora, memory

TESTS = Path(__file__).parents[1]

MEASURED = """
import sys
import torch
from training import micro
from finetune.models import load as models
from finetune.config.schema import Config, HardwareConfig, MethodConfig, TargetsConfig
from finetune.models.encoding import Encoder
from finetune.training import lora, memory
from finetune.training.frozen_tower import without_graph
from finetune.training.loss import answer_loss, count_labels

targets, size, kept = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3] == "true"
loaded = models.load(Config(hardware=HardwareConfig(device="cpu", threads=1)))
model = lora.adapt(loaded, Config(method=MethodConfig(targets=TargetsConfig(*targets))))
without_graph(loaded.model, loaded.family)
encoder = Encoder(loaded.processor, loaded.family)
def batch(count):
    return encoder.supervised(
        [micro.example(i, "no") for i in range(count)], [[micro.picture(i, (128, 128))] for i in range(count)]
    )
trainer = {"activation_checkpointing": kept}
told = memory.estimate(model, batch(1), batch_size=size, device=torch.device("cpu"), trainer=trainer)
whole = batch(size)
if kept:
    model.activation_checkpointing_enable()
model.train()
optimiser = torch.optim.AdamW([parameter for _, parameter in lora.trainable(model)], lr=1e-4)
for _ in range(2):
    optimiser.zero_grad()
    answer_loss(model, whole, count_labels([whole])).backward()
    optimiser.step()
print(told.total, memory.peak_mib(torch.device("cpu")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["false", "true"])
@pytest.mark.parametrize("targets", ["full,full,full", "none,none,all", "all,all,all"])
def test_the_estimate_is_within_a_fifth_of_what_the_embedded_model_takes(targets, kept):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, targets, "32", kept], cwd=TESTS, capture_output=True, text=True, check=True
    )
    told, measured = map(float, done.stdout.splitlines()[-1].split())
    print(f"{targets}, checkpointing {kept}: told {told:,.0f} MiB, measured {measured:,.0f} MiB")  # pytest -rP
    assert told == pytest.approx(measured, rel=0.2)


@pytest.fixture
def one(loaded):
    encoder = Encoder(loaded.processor, loaded.family)
    return encoder.supervised([micro.example(0, "no")], [[micro.picture(0)]])


def adapted(loaded, *targets):
    return lora.adapt(loaded, Config(method=MethodConfig(rank=4, targets=TargetsConfig(*targets))))


def told(model, batch, **settings):
    given = {"batch_size": 1, "device": torch.device("cpu"), "trainer": {}} | settings
    return memory.estimate(model, batch, **given)


def test_weights_gradients_and_state_are_counted(loaded, one):
    model = adapted(loaded, "none", "none", "attention")
    trained = 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16))  # as in test_lora: two layers, rank 4
    every = sum(parameter.numel() for parameter in model.parameters())
    found = told(model, one)
    assert found.weights * 2**20 == pytest.approx(4 * every)
    assert found.gradients * 2**20 == pytest.approx(4 * trained)
    assert found.optimiser * 2**20 == pytest.approx(8 * trained)
    assert told(model, one, trainer={"optim": "adamw_8bit"}).optimiser == pytest.approx(found.optimiser / 4)
    assert found.told().startswith("memory: about ")


def test_activations_grow_with_the_batch_and_shards_divide_the_rest(loaded, one, monkeypatch):
    monkeypatch.setattr(memory, "pass_bytes", lambda model, batch, device, checkpointing: 2**20)
    model = adapted(loaded, "none", "none", "all")
    single, four = told(model, one), told(model, one, batch_size=4, shards=(2, 2, 1))
    assert (single.activations, four.activations) == (1, 4)
    assert (four.optimiser, four.gradients) == (single.optimiser / 2, single.gradients / 2)
    assert four.weights == single.weights


KNOWN = """
import torch
from finetune.training import memory

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4000, 4000, bias=False)

    def forward(self, **_):
        hidden = self.layer(torch.ones(4000, 4000)).relu()
        return type("Output", (), {"logits": hidden[None]})

model = Model()
batch = {"labels": torch.full((1, 4001), -100)}
batch["labels"][0, 1:] = 1
print(memory.pass_bytes(model, batch, torch.device("cpu"), checkpointing=False), model.layer.weight.grad)
"""


def test_a_graph_of_known_size():
    """Input and product, of 64 MB each, are kept for the backward pass; it makes the gradients of product and sum.

    In a process of its own: one that has freed memory before may fill that first.
    """
    done = subprocess.run([sys.executable, "-c", KNOWN], capture_output=True, text=True, check=True)
    taken, gradient = done.stdout.split()
    assert 2.9 * 64_000_000 <= int(taken) <= 8 * 64_000_000
    assert gradient == "None"


def test_model_and_generators_are_left_as_they_were(loaded, one):
    model = adapted(loaded, "none", "none", "all")
    before, drawn = lora.snapshot(model), torch.get_rng_state()
    training = model.training
    told(model, one, trainer={"activation_checkpointing": True})
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in lora.snapshot(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_memory_of_a_process_is_read_where_linux_tells_it_and_else_counted(monkeypatch):
    told = b"Name:\tpython\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
    monkeypatch.setattr(memory.Path, "read_bytes", lambda _: told)
    assert memory._process_mib("VmHWM") == 2
    assert memory._process_mib("VmRSS") == 1
    monkeypatch.setattr(memory.Path, "read_bytes", lambda _: b"Name:\tpython\n")  # as in gVisor
    monkeypatch.setattr(memory.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=4096))
    assert memory._process_mib("VmHWM") == 4
