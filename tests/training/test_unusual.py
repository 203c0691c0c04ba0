from dataclasses import replace

import pytest

from finetune.config.schema import Config, LearningRates, MethodConfig, TargetsConfig, TrainConfig
from finetune.training.unusual import unusual


def table(language_model):
    sizes = {"vision_tower": 600_000_000, "projector": 40_000_000, "language_model": language_model, "head": 0}
    return {part: {"parameters": count, "trained": 0} for part, count in sizes.items()}


def config(targets, rate, full=None):
    train = TrainConfig(learning_rate=rate, learning_rates=LearningRates(full=full))
    return replace(Config(), method=MethodConfig(targets=TargetsConfig(*targets)), train=train)


@pytest.mark.parametrize(
    ("targets", "rate", "full", "keys"),
    [
        (("none", "none", "all"), 1e-4, None, []),
        (("none", "none", "all"), 5e-4, None, []),
        (("none", "none", "all"), 2e-3, None, ["train.learning_rate"]),
        (("full", "full", "all"), 1e-4, 1e-5, ["method.targets.vision_tower"]),
        (("full", "full", "full"), 1e-4, 1e-5, []),
        (("none", "none", "full"), 1e-4, None, ["train.learning_rates.full"]),
        (
            ("full", "none", "all"),
            2e-3,
            3e-4,
            ["method.targets.vision_tower", "train.learning_rates.full", "train.learning_rate"],
        ),
    ],
)
def test_what_is_unusual_for_seven_billion(targets, rate, full, keys):
    assert [setting.key for setting in unusual(config(targets, rate, full), table(7_000_000_000))] == keys


def test_small_bases_are_trained_in_many_ways():
    assert unusual(config(("full", "full", "all"), 2e-3, 3e-4), table(300_000_000)) == []
