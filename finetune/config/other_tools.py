"""What users of transformers, TRL, PEFT, LLaMA-Factory, ms-swift, Axolotl and Unsloth type, and what does it here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Note:
    """Why there is no such key here.

    Attributes:
        sentence: what happens instead.
    """

    sentence: str


Answer = str | Note


def _switch(on: Answer, off: Answer) -> Mapping[str, Answer]:
    return {"true": on, "false": off}


_BF16, _FP32, _AUTO = "train.precision=bf16", "train.precision=fp32", "train.precision=auto"
_DTYPES: Final[Mapping[str, Answer]] = {
    **dict.fromkeys(("bf16", "bfloat16", "torch.bfloat16", "fp16", "float16", "torch.float16", "half"), _BF16),
    **dict.fromkeys(("fp32", "float32", "torch.float32", "no"), _FP32),
    "": _AUTO,
}
_CHECKPOINTING: Final = _switch(
    "train.trainer.activation_checkpointing=true", "train.trainer.activation_checkpointing=false"
)
_FOUR_BITS: Final = _switch("method=qlora", "method=lora")
_BITS: Final[Mapping[str, Answer]] = {"16": "method=lora", "32": "method=lora", "": "method=qlora"}
_METHODS: Final[Mapping[str, Answer]] = {"full": "method=full", "qlora": "method=qlora", "": "method=lora"}
_TRACKERS: Final[Mapping[str, Answer]] = {
    "wandb": "tracking=wandb",
    "tensorboard": "tracking=tensorboard",
    "": "tracking=none",
}
_WANDB: Final = _switch("tracking=wandb", "tracking=none")
_WHEN: Final[Mapping[str, Answer]] = {
    "no": "train.validate=never",
    "false": "train.validate=never",
    "steps": "train.validate",
    "": "train.validate=epoch",
}
_SAVED: Final[Mapping[str, Answer]] = {
    "no": Note("Checkpoints are always written, so that an interrupted run loses nothing (train.checkpoint)."),
    "steps": "train.checkpoint",
    "": "train.checkpoint=epoch",
}
_STAGES: Final[Mapping[str, Answer]] = {
    "1": "hardware=zero1",
    "2": "hardware=zero2",
    "3": "hardware=zero3",
    "": "hardware=zero2",
}
_UNCUT: Final = Note(
    "Samples are never cut: one that is too long is named before training; model.pixels and data.tiles make it shorter."
)
_ANSWER_ALONE: Final = Note("The loss is always taken on the answer alone.")
_EFFECTIVE: Final = Note("It is train.batch_size times train.accumulate, over all ranks.")
_TEMPLATE: Final = Note("The chat template saved with the model is used, and no other.")
_LOCAL: Final = Note("Nothing leaves this machine; the stage export writes adapter and merged weights into the run.")
_ATTENTION: Final = Note("Attention is torch's own (sdpa), which picks the fastest kernel.")


def _part(name: str, *, freeze: bool) -> Mapping[str, Answer]:
    still, moves = f"method.targets.{name}=none", f"method.targets.{name}=all"
    return _switch(still, moves) if freeze else _switch(moves, still)


KEYS: Final[Mapping[str, Answer | Mapping[str, Answer]]] = {
    # precision and memory
    "quantization": "method=qlora",
    "quantize": "method=qlora",
    "bnb_4bit_quant_type": "method=qlora",
    "device_map": "hardware=gpu",
    "gpus": "launch=torchrun launch.processes",
    "nproc_per_node": "launch=torchrun launch.processes",
    "num_gpus": "launch=torchrun launch.processes",
    "nnodes": "launch.nodes",
    "num_nodes": "launch.nodes",
    "nodes": "launch.nodes",
    # how long, how much
    "num_train_epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "max_epochs": "train.epochs",
    "per_device_train_batch_size": "train.batch_size",
    "micro_batch_size": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "per_device_eval_batch_size": "evaluate.batch_size",
    "eval_batch_size": "evaluate.batch_size",
    "gradient_accumulation_steps": "train.accumulate",
    "grad_accum": "train.accumulate",
    "accumulate_grad_batches": "train.accumulate",
    # rates and the optimizer
    "lr": "train.learning_rate",
    "vit_lr": "train.learning_rates.vision_tower",
    "vision_lr": "train.learning_rates.vision_tower",
    "vision_tower_lr": "train.learning_rates.vision_tower",
    "aligner_lr": "train.learning_rates.projector",
    "merger_lr": "train.learning_rates.projector",
    "mm_projector_lr": "train.learning_rates.projector",
    "warmup_ratio": "train.trainer.warmup_steps",
    "warmup_steps": "train.trainer.warmup_steps",
    "lr_scheduler_type": "train.trainer.lr_scheduler_type",
    "lr_scheduler": "train.trainer.lr_scheduler_type",
    "scheduler": "train.trainer.lr_scheduler_type",
    "weight_decay": "train.trainer.weight_decay",
    "max_grad_norm": "train.trainer.max_grad_norm",
    "gradient_clipping": "train.trainer.max_grad_norm",
    "optim": "train.trainer.optim",
    "optimizer": "train.trainer.optim",
    "early_stopping_patience": "train.patience",
    "eval_steps": "train.validate",
    "val_check_interval": "train.validate",
    "save_steps": "train.checkpoint",
    "resume_from_checkpoint": "run.dir",
    "resume": "run.dir",
    "output_dir": "run.dir",
    "save_dir": "run.dir",
    "log_dir": "run.root",
    "logging_dir": "run.root",
    "wandb_project": "tracking.project",
    "run_name": "run.dir",
    "random_seed": "seed",
    "data_seed": "seed",
    "dataloader_num_workers": "hardware.workers",
    "num_workers": "hardware.workers",
    "preprocessing_num_workers": "hardware.workers",
    "dataset_num_proc": "hardware.workers",
    # LoRA
    "r": "method.rank",
    "lora_r": "method.rank",
    "lora_rank": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "peft_type": "method=lora",
    "adapter": "model.adapter",
    "adapter_name_or_path": "model.adapter",
    "adapters": "model.adapter",
    "lora_model_dir": "model.adapter",
    "lora_target": "method.targets.language_model=all",
    "target_modules": "method.targets.language_model=all",
    "lora_target_modules": "method.targets.language_model=all",
    "modules_to_save": "method.targets.projector=full",
    # the model
    "model_name": "model.id",
    "name_or_path": "model.id",
    "model_name_or_path": "model.id",
    "base_model": "model.id",
    "model_id": "model.id",
    "pretrained_model_name_or_path": "model.id",
    "model_type": "model.family",
    "image_max_pixels": "model.pixels",
    "max_pixels": "model.pixels",
    "min_pixels": "model.pixels",
    "image_size": "model.pixels",
    "image_resolution": "model.pixels",
    # data and task
    "format": "data.adapter",
    "formatting": "data.adapter",
    "dataset_type": "data.adapter",
    "data_path": "data.path",
    "data_dir": "data.path",
    "dataset": "data.path",
    "datasets": "data.path",
    "dataset_dir": "data.path",
    "dataset_name": "data.path",
    "train_file": "data.path",
    "image_folder": "data.path",
    "media_dir": "data.path",
    "eval_dataset": "data.test_path",
    "val_dataset": "data.test_path",
    "test_file": "data.test_path",
    "val_size": "data.split.val",
    "val_set_size": "data.split.val",
    "split_dataset_ratio": "data.split.val",
    "test_size": "data.split.test",
    "max_samples": "data.limit",
    "max_train_samples": "data.limit",
    "group_column": "data.group",
    "patient_column": "data.group",
    "kfold": "data.folds",
    "num_folds": "data.folds",
    "cv": "data.folds",
    "augmentation": "train.augment",
    "data_augmentation": "train.augment",
    "class_weight": "train.class_weights",
    "prompt": "task.question",
    "instruction": "task.question",
    "system_prompt": "task.question",
    "classes": "task.labels",
    "class_names": "task.labels",
    "num_labels": "task.labels",
    "label_names": "task.labels",
    "metric": "evaluate.decision.metric",
    "metric_for_best_model": "evaluate.decision.metric",
    # what depends on the value
    "bf16": _switch(_BF16, _FP32),
    "fp16": _switch(_BF16, _AUTO),
    "fp32": _switch(_FP32, _AUTO),
    "torch_dtype": _DTYPES,
    "dtype": _DTYPES,
    "mixed_precision": _DTYPES,
    "gradient_checkpointing": _CHECKPOINTING,
    "use_gradient_checkpointing": _CHECKPOINTING,
    "vit_gradient_checkpointing": _CHECKPOINTING,
    "load_in_4bit": _FOUR_BITS,
    "load_in_8bit": _FOUR_BITS,
    "quantization_bit": _BITS,
    "quant_bits": _BITS,
    "zero_stage": _STAGES,
    "deepspeed_config": _STAGES,
    "deepspeed": {"false": "hardware=auto", "null": "hardware=auto", "": "hardware=zero2"},
    "fsdp": {"false": "hardware=auto", "null": "hardware=auto", "": "hardware=zero3"},
    "early_stopping": _switch("train.patience", "train.patience=null"),
    "evaluation_strategy": _WHEN,
    "eval_strategy": _WHEN,
    "do_eval": _WHEN,
    "save_strategy": _SAVED,
    "report_to": _TRACKERS,
    "wandb": _WANDB,
    "use_wandb": _WANDB,
    "use_dora": _switch("method=dora", "method=lora"),
    "use_rslora": _switch("method=rslora", "method=lora"),
    "finetuning_type": _METHODS,
    "train_type": _METHODS,
    "tuner_type": _METHODS,
    "lora": _switch("method=lora", "method=full"),
    "freeze_vision_tower": _part("vision_tower", freeze=True),
    "freeze_vision": _part("vision_tower", freeze=True),
    "freeze_vit": _part("vision_tower", freeze=True),
    "finetune_vision_layers": _part("vision_tower", freeze=False),
    "freeze_multi_modal_projector": _part("projector", freeze=True),
    "freeze_aligner": _part("projector", freeze=True),
    "freeze_language_model": _part("language_model", freeze=True),
    "freeze_llm": _part("language_model", freeze=True),
    "finetune_language_layers": _part("language_model", freeze=False),
    "train_mm_projector_only": _part("language_model", freeze=True),
    "offline": _switch("network=none", "network=allow"),
    # the same elsewhere
    "seed": "seed",
    "max_steps": "train.trainer.max_steps",
    "torch_compile": "train.trainer.torch_compile",
    "tf32": "train.trainer.tf32",
    "device": "hardware.device",
    "image_column": "data.options.image",
    "label_column": "data.options.label",
    "question_column": "data.options.question",
    # no key, and why
    "global_batch_size": _EFFECTIVE,
    "effective_batch_size": _EFFECTIVE,
    "template": _TEMPLATE,
    "chat_template": _TEMPLATE,
    "cutoff_len": _UNCUT,
    "max_length": _UNCUT,
    "max_seq_length": _UNCUT,
    "max_seq_len": _UNCUT,
    "sequence_len": _UNCUT,
    "model_max_length": _UNCUT,
    "overwrite_output_dir": Note("The same command continues its run; run.dir names another."),
    "completion_only_loss": _ANSWER_ALONE,
    "assistant_only_loss": _ANSWER_ALONE,
    "train_on_prompt": _ANSWER_ALONE,
    "train_on_inputs": _ANSWER_ALONE,
    "packing": Note("Samples are not packed; those of like length share a batch where padding would waste a tenth."),
    "sample_packing": Note("Samples are not packed; those of like length share a batch."),
    "group_by_length": Note("Samples of like length share a batch where padding would waste a tenth."),
    "logging_steps": Note("Every step has its line in train/log.jsonl."),
    "logging_strategy": Note("Every step has its line in train/log.jsonl."),
    "save_total_limit": Note("The two newest checkpoints are kept, and the best validated state."),
    "load_best_model_at_end": Note("The best validated state is always the one that is kept (train.validate)."),
    "push_to_hub": _LOCAL,
    "hub_model_id": _LOCAL,
    "trust_remote_code": Note("Code that comes with a model is never run."),
    "attn_implementation": _ATTENTION,
    "flash_attn": _ATTENTION,
    "use_flash_attention_2": _ATTENTION,
    "use_unsloth": Note("No kernel of another library replaces a part of the model."),
    "liger_kernel": Note("No kernel of another library replaces a part of the model."),
    "use_liger_kernel": Note("No kernel of another library replaces a part of the model."),
    "neftune_noise_alpha": Note("Noise from the global generator would make a resumed run differ."),
    "label_smoothing_factor": Note("The loss is cross entropy of the answers."),
    "bias": Note("Biases are not adapted by LoRA here; targets set to full train them."),
    "cache_dir": Note("The hub's own variable HF_HOME says where weights lie, FINETUNE_CACHE where features do."),
    "max_new_tokens": Note("A reply may be twice as long as the longest answer that was trained."),
    "streaming": Note("prepare streams every source."),
    "do_train": Note("Stages are named: stages=[prepare,train,evaluate,report,export]."),
    "do_predict": Note("Stages are named: stages=[prepare,train,evaluate,report,export]."),
}
"""Last part of a name, as typed elsewhere -> `KEY`, `KEY=VALUE` or `GROUP=OPTION` here, or why there is none; by value
(lower case, "" = any other) where it depends on that."""

OPTIONS: Final = {
    "answer": "label",
    "target": "label",
    "class": "label",
    "label_column": "label",
    "answer_column": "label",
    "image_column": "image",
    "image_key": "image",
    "images_key": "image",
    "file_name": "image",
    "filename": "image",
    "path_column": "image",
    "image_dir": "images",
    "images_dir": "images",
    "image_root": "images",
    "prompt_column": "question",
    "question_column": "question",
    "text_column": "question",
    "prompt": "question",
    "id_column": "id",
    "csv": "file",
    "table": "file",
    "annotation_file": "file",
    "annotations": "file",
    "separator": "delimiter",
    "sep": "delimiter",
    "rename": "relabel",
    "label_map": "relabel",
    "mapping": "relabel",
}
"""Option of an adapter as typed elsewhere -> the option that many adapters here have."""


def hint(dotted: str, value: object = "") -> Answer | None:
    """What does here what `dotted` does in another tool; None where nothing is known.

    Args:
        dotted: the key as typed, with or without its section.
        value: as typed; what is on elsewhere may have to be off here.
    """
    found = KEYS.get(dotted.rpartition(".")[2].lower())
    if found is None or isinstance(found, str | Note):
        return found
    said = "null" if value is None else str(value).lower()
    return found.get(said, found.get("", next(iter(found.values()))))
