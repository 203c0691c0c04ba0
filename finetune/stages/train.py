"""Stage 2: adapt the base model to the training examples; keep the state that was best on validation."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from finetune import dataset, named
from finetune.config import Config
from finetune.errors import ConfigError, DataError, IntegrityError, InterruptedRun
from finetune.rundir import Part, RunDir, read_json, sha256_file

SHOWN = 4
"""Examples whose supervised text is printed before step 1."""


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the result depends on: seed, model, method, optimisation, the metric that picks, and the examples."""
    parts = run.parts(config.data.folds)
    files = [part.split(name) for part in parts for name in ("train", "val")]
    return {
        "seed": config.seed,
        "model": dataclasses.asdict(config.model),
        "method": dataclasses.asdict(config.method),
        "train": dataclasses.asdict(config.train),
        "device": config.hardware.device,
        "metric": config.evaluate.decision.metric,
        "synonyms": config.task.synonyms,
        "files": {path.relative_to(run.root).as_posix(): sha256_file(path) for path in files if path.exists()},
    }


def sources(config: Config) -> dict[str, Any]:
    """Nothing: the digest of the weights is in `finetune.json`, and checked when an adapter is loaded."""
    return {}


def run(config: Config, run: RunDir) -> list[Path]:
    """Trains every part; each continues from its newest checkpoint that verifies.

    Raises:
        ConfigError: a target, a pixel setting or a trainer field is wrong.
        DataError: a sample is too long or not readable, or a loss is not finite.
        InterruptedRun: SIGTERM or Ctrl-C; the state is saved.
    """
    from finetune.training import arguments
    from finetune.training.augment import AUGMENTATIONS

    arguments.check(config.train.trainer)
    if config.train.augment not in AUGMENTATIONS:
        raise ConfigError(f"train.augment: {named.unknown('set', config.train.augment, AUGMENTATIONS)}")
    return [path for part in run.parts(config.data.folds) for path in _train(config, run, part)]


def _train(config: Config, run: RunDir, part: Part) -> list[Path]:
    """One part: load, adapt, check, train, keep the best, save."""
    from finetune import models
    from finetune.encoding import Encoder
    from finetune.training import checkpoints, lengths, lora, sft
    from finetune.training.collator import Pictures
    from finetune.training.frozen import without_graph
    from finetune.training.interruption import Interruption

    examples, held_out = dataset.read_split(part.split("train")), dataset.read_split(part.split("val"))
    if not examples:
        raise DataError(f"{part.split('train')} holds no example; there is nothing to train on.")
    root = dataset.image_root(config, run)
    loaded = models.load(config)
    encoder = Encoder(loaded.processor, loaded.family)
    pictures = Pictures(encoder, root)
    print(f"{part.name or 'train'}: {len(examples)} examples, {len(held_out)} for validation", file=sys.stderr)
    longest = lengths.check(encoder, [*examples, *held_out], root, loaded.model)
    print(f"longest sample: {longest} tokens", file=sys.stderr)
    sft.announce(encoder, examples[:SHOWN], pictures)
    model = lora.adapt(loaded, config)
    without_graph(loaded.model, loaded.family)
    table = lora.table(model, loaded.family)
    lora.show(table)
    run.write_json(part.train / "trainable.json", table)
    found = checkpoints.newest(part.checkpoints)
    if found is not None:
        _note_resume(run, found[1], models.record(loaded))
    with Interruption().watch() as interruption:
        trainer = _trainer(
            config, run, part, (loaded, model, encoder, pictures, examples, held_out), found, interruption
        )
        trainer.run_from(found)
    trainer.journal.close()
    if interruption.requested and trainer.state.global_step < trainer.state.max_steps:
        raise InterruptedRun(
            f"stopped by {interruption.name} after step {trainer.state.global_step} of {trainer.state.max_steps}; the "
            "state is saved and the same command continues."
        )
    trainer.keep_best()
    files = lora.save_adapter(model, loaded, part.adapter, run)
    records = [part.train / name for name in ("trainable.json", "log.jsonl", "validation.jsonl")]
    return [*files, *records]


def _trainer(config: Config, run: RunDir, part: Part, made: tuple[Any, ...], found: Any, interruption: Any) -> Any:
    """Puts the trainer together."""
    from finetune.models import precision
    from finetune.training import sft
    from finetune.training.arguments import training_arguments
    from finetune.training.collator import Collator, Examples
    from finetune.training.journal import Journal
    from finetune.training.validation import Validator

    loaded, model, encoder, pictures, examples, held_out = made
    labels = read_json(run.summary)["labels"]
    validates = bool(held_out) and config.train.validate != "never"
    args = training_arguments(
        config,
        output_dir=str(run.make(part.checkpoints)),
        bf16=precision(config, loaded.device) == "bf16",
        on_cpu=loaded.device.type == "cpu",
    )
    return sft.AnswerTrainer(
        model,
        args,
        loaded=loaded,
        train=config.train,
        examples=Examples(examples),
        collator=Collator(encoder, pictures, config.train.augment, config.seed),
        journal=Journal(run, part.train, found[1].step if found else 0),
        validator=Validator(config, encoder, pictures, held_out, labels) if validates else None,
        interruption=interruption,
        folder=part.checkpoints,
        run=run,
    )


def _note_resume(run: RunDir, state: Any, base: dict[str, Any]) -> None:
    """Writes down where training continues; a checkpoint of other weights is refused."""
    if state.base != base:
        raise IntegrityError(
            f"the checkpoint of step {state.step} was trained on {state.base}, but the model is {base}: the weights or "
            "the processor changed. Bring them back, or give this training another run.dir."
        )
    run.update_status(resumed_from_step=state.step)
    print(f"continuing from the checkpoint of step {state.step}", file=sys.stderr)
