import dataclasses

import pytest

from finetune.config.schema import Config, TrainConfig
from finetune.errors import ConfigError
from finetune.training import trainer_arguments


@pytest.mark.parametrize("name", sorted(trainer_arguments.REFUSED))
def test_fields_that_break_a_promise_are_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=rf"train.trainer.{name}: cannot be set here; .+\."):
        trainer_arguments.check({name: 1})


def test_a_misspelt_field_gets_the_nearest_match_and_all_mistakes_are_told():
    with pytest.raises(ConfigError) as caught:
        trainer_arguments.check({"weight_decy": 0.1, "push_to_hub": True})
    assert "Did you mean 'weight_decay'?" in str(caught.value)
    assert "push_to_hub" in str(caught.value)


def test_a_field_that_exists_but_is_not_listed_is_refused():
    with pytest.raises(
        ConfigError, match=r"train.trainer.hub_model_id: is not among the fields that may be set: activ"
    ):
        trainer_arguments.check({"hub_model_id": "x"})


def test_every_listed_field_exists():
    from transformers import TrainingArguments

    known = {entry.name for entry in dataclasses.fields(TrainingArguments)}
    assert known >= trainer_arguments.ALLOWED
    assert not trainer_arguments.ALLOWED & trainer_arguments.REFUSED.keys()


def test_what_is_set_arrives_and_what_is_ours_stays(tmp_path):
    config = Config(seed=4, train=TrainConfig(accumulate=3, trainer={"weight_decay": 0.25, "max_grad_norm": 0.5}))
    made = trainer_arguments.training_arguments(config, output_dir=str(tmp_path), bf16=False, on_cpu=True, share=(8, 3))
    assert (made.weight_decay, made.max_grad_norm) == (0.25, 0.5)
    assert (made.gradient_accumulation_steps, made.seed) == (3, 4)
    assert made.report_to == []
    assert not made.logging_nan_inf_filter


def test_a_value_that_the_library_refuses_is_a_config_error(tmp_path):
    config = Config(train=TrainConfig(trainer={"lr_scheduler_type": "zigzag"}))
    with pytest.raises(ConfigError, match=r"train.trainer: transformers refuses the values: .*zigzag"):
        trainer_arguments.training_arguments(config, output_dir=str(tmp_path), bf16=False, on_cpu=True, share=(8, 3))
