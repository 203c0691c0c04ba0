"""Settings of training belong to the size of the base: every recipe x every model x every method composes."""

import itertools
import re

import pytest
import yaml

from finetune.config.compose import compose, groups, recipes
from finetune.errors import ConfigError
from finetune.training.lora import rate

MENU = groups()
SOME = ("tiny", "smolvlm_256m", "qwen2_5_vl_7b")


def composed(*words):
    return compose([*words, "data.path=x"])


def billions(model):
    match = re.search(r"([\d.]+) B parameters", MENU["model"][model].read_text())
    return float(match.group(1)) if match else None


def check(recipe, model, method):
    """The settings are those that somebody who trains bases of this size would use."""
    config = composed(f"recipe={recipe}", f"model={model}", f"method={method}")
    size, where = billions(model), f"{recipe} {model} {method}"
    targets, train = config.method.targets, config.train
    assert config.method.quantise == ("nf4" if method == "qlora" else "none"), where
    if method == "qlora":
        assert targets.language_model == "all", where
    if size is None or size < 0.2:
        return
    assert train.batch_size * train.accumulate == 16, where
    assert train.trainer.get("activation_checkpointing", False) is (size >= 1.5), where
    each = (targets.vision_tower, targets.projector, targets.language_model)
    if method == "full":
        assert each == ("full", "full", "full"), where
        highest = max(rate(train, part, in_full=True) for part in ("vision_tower", "projector", "language_model"))
        assert highest <= (1e-4 if size < 0.6 else 3e-5), where
    else:
        assert each == ("none", "none", "all"), where
        assert train.learning_rate <= (5e-4 if size < 1.5 else 2e-4 if size < 6 else 1e-4), where


@pytest.mark.parametrize("model", sorted(MENU["model"]))
def test_a_recipe_suits_the_size_of_every_model(model):
    check("chest_xray", model, "lora")


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_every_recipe_suits_the_size_of_a_model(recipe):
    for model in SOME:
        check(recipe, model, "lora")


@pytest.mark.parametrize("method", sorted(MENU["method"]))
def test_every_method_suits_the_size_of_a_model(method):
    for model in SOME:
        check("defects", model, method)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(MENU["model"]))
def test_every_method_suits_the_size_of_every_model(model):
    """With the test below this is the whole product: recipes say nothing that depends on model or method."""
    for method in sorted(MENU["method"]):
        check("chest_xray", model, method)


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_a_recipe_says_nothing_that_depends_on_the_model(recipe):
    said = yaml.safe_load(recipes()[recipe].read_text())
    assert not set(said) & {"method", "model", "hardware"}
    assert set(said.get("train", ())) <= {"balance", "augment", "validate"}


def test_the_smallest_model_by_hand():
    config = composed("recipe=chest_xray", "model=tiny")
    parts = ("vision_tower", "projector", "language_model")
    assert {getattr(config.method.targets, part) for part in parts} == {"full"}
    assert [rate(config.train, part, in_full=True) for part in parts] == [1e-4, 3e-4, 3e-4]
    lora = composed("recipe=chest_xray", "model=tiny", "method=qlora")
    assert rate(lora.train, "language_model", in_full=False) == 2e-3


def test_a_model_of_unknown_size_is_treated_as_a_large_one():
    unknown = sorted(name for name in MENU["model"] if billions(name) is None)
    assert unknown == ["minicpmv_4_6", "tiny"]
    assert composed("recipe=defects", "model=minicpmv_4_6").train == composed("recipe=defects", "train=7b").train


def test_larger_models_take_no_higher_rates():
    sized = sorted((billions(name), name) for name in MENU["model"] if billions(name))
    rates = [composed("recipe=defects", f"model={name}").train.learning_rate for _, name in sized]
    assert all(after <= before for before, after in itertools.pairwise(rates))


def test_a_7b_model_by_hand():
    config = composed("recipe=defects", "model=qwen2_5_vl_7b", "method=qlora")
    assert (config.train.learning_rate, config.train.batch_size, config.train.accumulate) == (1e-4, 1, 16)
    assert config.train.augment == "flips"  # what the recipe says of its data stays


def test_a_typed_group_wins_over_the_one_of_the_model_and_a_typed_key_over_both():
    assert composed("recipe=defects", "train=7b").train.learning_rate == 1e-4
    assert composed("recipe=defects", "model=qwen2_5_vl_7b", "train=tiny").train.learning_rate == 2e-3
    assert composed("recipe=defects", "train=7b", "train.learning_rate=5e-5").train.learning_rate == 5e-5
    assert composed("recipe=defects", "train=7b", "method=full").method.targets.language_model == "full"


def test_an_unknown_size_is_refused():
    with pytest.raises(ConfigError, match=r"train: unknown train '8b'"):
        composed("recipe=defects", "train=8b")
