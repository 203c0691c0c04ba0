"""The small model of a family: written once a session, loaded once where nothing changes it."""

from functools import cache

import pytest
from architectures import catalogue

from finetune.config.schema import Config, HardwareConfig, MethodConfig, ModelConfig
from finetune.models import load as models
from finetune.models.encoding import Encoder


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    return cache(lambda name: catalogue.save(tmp_path_factory.mktemp(name), name))


@pytest.fixture(scope="session")
def load(folder_of):
    """(family, method...) -> a model of its own, and its config."""

    def fresh(name, **method):
        config = Config(
            model=ModelConfig(family=name, path=str(folder_of(name))),
            method=MethodConfig(rank=2, **method),
            hardware=HardwareConfig(device="cpu"),
        )
        return models.load(config), config

    return fresh


@pytest.fixture(scope="session")
def shared(load):
    """Family -> a loaded model that no test may change."""
    return cache(lambda name: load(name)[0])


@pytest.fixture
def loaded(name, shared):
    return shared(name)


@pytest.fixture
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)
