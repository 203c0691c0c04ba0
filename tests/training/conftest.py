"""One micro model for all tests of training."""

from pathlib import Path

import pytest
from training import micro

from finetune.config.schema import Config, HardwareConfig, ModelConfig
from finetune.models import load as models


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory) -> Path:
    """Folder of a random model of the real architecture."""
    return micro.save(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def loaded(micro_model):
    """The micro model, freshly loaded: adapting changes it in place."""
    return models.load(Config(model=ModelConfig(path=str(micro_model)), hardware=HardwareConfig(device="cpu")))
