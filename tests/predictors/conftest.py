"""A tiny model with a random adapter, pictures and questions about them."""

import dataclasses

import pytest
import torch
from peft import LoraConfig, get_peft_model
from training import micro

from finetune.config.schema import Config, ModelConfig
from finetune.models import load as models
from finetune.models.encoding import Encoder

LABELS = ("no defect", "scratch", "open", "open circuit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return micro.save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    for number in range(5):
        for index in range(2):
            micro.picture(10 * number + index, (32 + 5 * number, 40)).save(path / f"{number:03d}_{index}.png")
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    config = dataclasses.replace(Config(), model=ModelConfig(path=str(folder)))
    found = models.load(config)
    torch.manual_seed(0)
    tuned = get_peft_model(found.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    return dataclasses.replace(found, model=tuned.eval())


@pytest.fixture(scope="module")
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


@pytest.fixture(scope="module")
def examples():
    """Prompts of different length, one of them with two images."""
    questions = ["Is there a defect?", "What?", "Is there a defect? yes no a b c", "Scratch or no defect?", "a"]
    return [micro.example(i, LABELS[i % 3], question, images=1 + (i == 2)) for i, question in enumerate(questions)]
