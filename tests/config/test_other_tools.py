"""Names that users of other tools type get the key that does it here as the first hint."""

from dataclasses import fields

import pytest

from data_adapters import table
from finetune.config import other_tools
from finetune.config.compose import compose, groups
from finetune.config.convert import dotted_keys
from finetune.config.schema import Config
from finetune.data import source
from finetune.errors import ConfigError
from finetune.training import trainer_arguments


def hint(words, what="Did you mean "):
    with pytest.raises(ConfigError) as refused:
        compose(["recipe=defects", words])
    _, found, rest = str(refused.value).partition(what)
    return rest.removesuffix("?") if found else str(refused.value)


def answers(name):
    given = other_tools.KEYS[name]
    return [given] if isinstance(given, str | other_tools.Note) else list(given.values())


@pytest.mark.parametrize("name", sorted(other_tools.KEYS))
def test_every_row_names_what_there_is(name):
    """A key of the schema, a group with that option, a field of the trainer that may be set, or an adapter's option."""
    for answer in answers(name):
        for word in [] if isinstance(answer, other_tools.Note) else answer.split():
            key, _, value = word.partition("=")
            if key in groups():
                assert value in groups()[key], word
            elif key.startswith("train.trainer."):
                assert key.removeprefix("train.trainer.") in trainer_arguments.ALLOWED, word
            elif key.startswith("data.options."):
                assert key.removeprefix("data.options.") in {field.name for field in fields(table.Options)}, word
            else:
                assert key in dotted_keys(Config), word


@pytest.mark.parametrize(
    "name", sorted(name for name in other_tools.KEYS if not isinstance(other_tools.KEYS[name], str))
)
def test_what_is_proposed_with_a_value_is_taken(name):
    for answer in answers(name):
        if (
            isinstance(answer, str)
            and "=" in answer
            and answer not in ("hardware=zero1", "hardware=zero2", "hardware=zero3")
        ):
            compose(["recipe=defects", answer])


@pytest.mark.parametrize(
    ("typed", "here"),
    [
        ("train.bf16=true", "train.precision=bf16"),
        ("train.fp16=true", "train.precision=bf16"),
        ("train.output_dir=out", "run.dir"),
        ("output_dir=out", "run.dir"),
        ("train.num_train_epochs=3", "train.epochs"),
        ("train.per_device_train_batch_size=4", "train.batch_size"),
        ("per_device_train_batch_size=4", "train.batch_size"),
        ("train.gradient_accumulation_steps=4", "train.accumulate"),
        ("model.load_in_4bit=true", "method=qlora"),
        ("train.gradient_checkpointing=true", "train.trainer.activation_checkpointing=true"),
        ("train.deepspeed=ds.json", "hardware=zero2"),
        ("data.format=coco", "data.adapter"),
        ("train.freeze_vision_tower=true", "method.targets.vision_tower=none"),
        ("train.early_stopping_patience=3", "train.patience"),
        ("lora_r=8", "method.rank"),
        ("method.r=8", "method.rank"),
        ("method.lora_alpha=16", "method.alpha"),
        ("lora_dropout=0.1", "method.dropout"),
        ("method.target_modules=all", "method.targets.language_model=all"),
        ("method.use_dora=true", "method=dora"),
        ("train.lr=1e-4", "train.learning_rate"),
        ("train.vit_lr=1e-5", "train.learning_rates.vision_tower"),
        ("train.warmup_ratio=0.03", "train.trainer.warmup_steps"),
        ("train.lr_scheduler_type=cosine", "train.trainer.lr_scheduler_type"),
        ("train.weight_decay=0.01", "train.trainer.weight_decay"),
        ("train.max_grad_norm=1", "train.trainer.max_grad_norm"),
        ("train.optim=adamw_8bit", "train.trainer.optim"),
        ("train.max_steps=10", "train.trainer.max_steps"),
        ("train.freeze_vision_tower=false", "method.targets.vision_tower=all"),
        ("finetune_vision_layers=false", "method.targets.vision_tower=none"),
        ("train.gradient_checkpointing=false", "train.trainer.activation_checkpointing=false"),
        ("model.load_in_4bit=false", "method=lora"),
        ("train.bf16=false", "train.precision=fp32"),
        ("model.torch_dtype=float32", "train.precision=fp32"),
        ("train.use_dora=false", "method=lora"),
        ("train.report_to=none", "tracking=none"),
        ("train.report_to=tensorboard", "tracking=tensorboard"),
        ("train.finetuning_type=full", "method=full"),
        ("train.zero_stage=3", "hardware=zero3"),
        ("train.eval_strategy=no", "train.validate=never"),
        ("train.seed=1", "seed"),
        ("data.image_column=x", "data.options.image"),
        ("train.tf32=true", "train.trainer.tf32"),
        ("train.eval_steps=10", "train.validate"),
        ("train.save_steps=10", "train.checkpoint"),
        ("train.report_to=wandb", "tracking=wandb"),
        ("model.model_name_or_path=x", "model.id"),
        ("model_name_or_path=x", "model.id"),
        ("model.model_type=qwen2_5_vl", "model.family"),
        ("model.max_pixels=1", "model.pixels"),
        ("data.dataset=x", "data.path"),
        ("dataset_dir=x", "data.path"),
        ("data.val_size=0.1", "data.split.val"),
        ("data.max_samples=5", "data.limit"),
        ("train.dataloader_num_workers=2", "hardware.workers"),
        ("train.nproc_per_node=2", "launch=torchrun launch.processes"),
        ("task.system_prompt=x", "task.question"),
        ("task.classes=[a]", "task.labels"),
        ("train.resume_from_checkpoint=true", "run.dir"),
        ("adapter_name_or_path=x", "model.adapter"),
    ],
)
def test_the_first_hint(typed, here):
    assert hint(typed) == here


@pytest.mark.parametrize(
    ("typed", "here"),
    [("answer", "label"), ("image_column", "image"), ("image_dir", "images"), ("sep", "delimiter"), ("csv", "file")],
)
def test_options_of_an_adapter(typed, here):
    config = compose(["recipe=radiology_qa", "data.path=x", f"data.options.{typed}=x"])
    with pytest.raises(ConfigError) as refused:
        source.options(config.data)
    assert str(refused.value) == f"data.options.{typed}: there is no such key. Did you mean data.options.{here}?"


def test_an_option_that_the_adapter_lacks_is_not_offered():
    config = compose(["data.adapter=image_folder", "data.path=x", "data.options.sep=x"])
    with pytest.raises(ConfigError) as refused:
        source.options(config.data)
    assert "delimiter" not in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("train.cutoff_len=2048", "Samples are never cut"),
        ("train.max_length=2048", "Samples are never cut"),
        ("train.packing=true", "Samples are not packed"),
        ("train.logging_steps=10", "Every step has its line in train/log.jsonl."),
        ("train.save_strategy=no", "Checkpoints are always written"),
        ("model.trust_remote_code=true", "Code that comes with a model is never run."),
        ("model.attn_implementation=flash_attention_2", "Attention is torch's own (sdpa)"),
        ("train.push_to_hub=true", "Nothing leaves this machine"),
        ("train.global_batch_size=16", "train.batch_size times train.accumulate"),
    ],
)
def test_a_name_without_a_key_says_why(typed, reason):
    with pytest.raises(ConfigError) as refused:
        compose(["recipe=defects", typed])
    key = typed.partition("=")[0]
    assert str(refused.value).startswith(f"{key}: there is no such key. ")
    assert reason in str(refused.value)
    assert "Did you mean" not in str(refused.value)
