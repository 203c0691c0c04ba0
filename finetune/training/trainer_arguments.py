"""`train.trainer.*`: which fields of transformers' TrainingArguments may be set, and why the others may not."""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from finetune import plugins
from finetune.config.schema import Config
from finetune.errors import ConfigError
from finetune.rundir import Json
from finetune.training import ranks

if TYPE_CHECKING:
    from transformers import TrainingArguments

ALLOWED: Final = frozenset(
    {
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "dataloader_prefetch_factor",
        "full_determinism",
        "lr_scheduler_kwargs",
        "lr_scheduler_type",
        "max_grad_norm",
        "max_steps",
        "optim",
        "optim_args",
        "tf32",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
        "torch_empty_cache_steps",
        "warmup_steps",
        "weight_decay",
    }
)

REFUSED: Final = {
    "bf16": "say train.precision",
    "data_seed": "say seed: the order of the examples is a pure function of it",
    "dataloader_drop_last": "no example is left out",
    "dataloader_num_workers": "say hardware.workers",
    "eval_steps": "say train.validate",
    "eval_strategy": "say train.validate",
    "fp16": "say train.precision; fp16 loses small gradients",
    "gradient_accumulation_steps": "say train.accumulate",
    "gradient_checkpointing": "say activation_checkpointing, its name from transformers 5 on",
    "gradient_checkpointing_kwargs": "say activation_checkpointing_kwargs, its name from transformers 5 on",
    "hub_token": "nothing leaves this machine",
    "label_smoothing_factor": "the loss is ours: cross entropy of the answers",
    "learning_rate": "say train.learning_rate",
    "load_best_model_at_end": "the best checkpoint on validation is always the one that is kept",
    "logging_nan_inf_filter": "it hides a loss that is not finite; such a loss stops the run",
    "logging_steps": "train/log.jsonl has one line an optimiser step",
    "logging_strategy": "train/log.jsonl has one line an optimiser step",
    "neftune_noise_alpha": "noise from the global generator would make a resumed run differ",
    "num_train_epochs": "say train.epochs",
    "optim_target_modules": "say method.targets",
    "output_dir": "say run.dir",
    "overwrite_output_dir": "say run.dir",
    "per_device_eval_batch_size": "say evaluate.batch_size",
    "per_device_train_batch_size": "say train.batch_size",
    "push_to_hub": "nothing leaves this machine",
    "remove_unused_columns": "the batches are ours",
    "report_to": "train/log.jsonl is the record; nothing else is written or sent",
    "resume_from_checkpoint": "the same command resumes from the newest checkpoint that verifies",
    "save_only_model": "a checkpoint without its optimiser cannot be resumed",
    "save_steps": "say train.checkpoint",
    "save_strategy": "say train.checkpoint",
    "save_total_limit": "two checkpoints are kept",
    "seed": "say seed",
    "train_sampling_strategy": "say train.shuffle",
    "use_cpu": "say hardware.device",
}


def check(fields: Json) -> None:
    """Refuses fields that would break a promise, and those that do not exist.

    Raises:
        ConfigError: one line a field.
    """
    from transformers import TrainingArguments

    known = {entry.name for entry in dataclasses.fields(TrainingArguments)}
    problems = []
    for name in fields:
        if name in REFUSED:
            problems.append(f"train.trainer.{name}: cannot be set here; {REFUSED[name]}.")
        elif name in known and name not in ALLOWED:
            problems.append(
                f"train.trainer.{name}: is not among the fields that may be set: {', '.join(sorted(ALLOWED))}."
            )
        elif name not in known:
            problems.append(f"train.trainer: {plugins.unknown('field', name, ALLOWED)}")
    if problems:
        raise ConfigError("\n".join(problems))


def training_arguments(
    config: Config, *, output_dir: str, bf16: bool, on_cpu: bool, share: tuple[int, int], deepspeed: Json | None = None
) -> "TrainingArguments":
    """The arguments of one training; logging, saving and validation are ours, so the library's are off.

    bf16 means autocast over fp32 master weights: a bf16 weight has 8 bits of mantissa, and an update of 1e-4 of its
    size would be rounded away. fp32 stays fp32 where the library's default would be a lower precision.

    Args:
        config: `train`, `seed` and `hardware.workers` are read.
        output_dir: named to the library, which writes nothing there.
        bf16: compute in it.
        on_cpu: where the model is.
        share: examples a forward pass and passes a step of this rank, from `checks.split_batch_across_ranks`.
        deepspeed: its settings; None = ranks each hold everything.

    Raises:
        ConfigError: a field of `train.trainer` may not be set, or its value is refused by the library.
    """
    from transformers import TrainingArguments

    check(config.train.trainer)
    train = config.train
    settings: dict[str, Any] = {
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "optim": "adamw_torch_fused",
        **train.trainer,
        "output_dir": output_dir,
        "num_train_epochs": train.epochs,
        "per_device_train_batch_size": share[0],
        "gradient_accumulation_steps": share[1],
        "learning_rate": train.learning_rate,
        "bf16": bf16,
        "fp16": False,
        "use_cpu": on_cpu and deepspeed is None,  # accelerate takes "use the CPU" for "without DeepSpeed"
        "ddp_backend": "gloo" if on_cpu and ranks.world() > 1 else None,
        "deepspeed": deepspeed,
        "seed": config.seed,
        "data_seed": config.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_num_workers": config.hardware.workers,
        "dataloader_pin_memory": not on_cpu,
    }
    try:
        return TrainingArguments(**settings)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"train.trainer: transformers refuses the values: {error}") from error
