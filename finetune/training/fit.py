"""The training of one part: load, check, adapt, continue or begin, keep the best state, save it."""

import io
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config import checks
from finetune.config.schema import Config
from finetune.data import example_files, source
from finetune.errors import DataError, IntegrityError, InterruptedRun
from finetune.example import Example
from finetune.models import cpu, feature_cache
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.models.load import Loaded
from finetune.rundir import Part, RunDir, read_json
from finetune.tasks import _forms
from finetune.training import checkpoints, deepspeed, lora, memory, ranks, sample_checks
from finetune.training import log as journal
from finetune.training.checkpoints import State
from finetune.training.collator import Collator, Examples, Item, Pictures
from finetune.training.frozen_tower import without_graph
from finetune.training.signals import Interruption
from finetune.training.trainer import AnswerTrainer
from finetune.training.trainer_arguments import training_arguments
from finetune.training.unusual import unusual
from finetune.training.validation import Validator

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainingArguments

SHOWN = 4
"""Examples whose supervised text is printed before step 1."""


def train_parts(config: Config, run: RunDir) -> list[Path]:
    """Trains every part in this process, alone or as one rank of several; raises what `train_part` does."""
    return [path for part in run.parts(config.data.folds) for path in train_part(config, run, part)]


def train_part(config: Config, run: RunDir, part: Part) -> list[Path]:
    """Trains on one split of the data and returns the files that it leaves.

    Raises:
        ConfigError: a target, a pixel setting or a trainer field is wrong.
        DataError: a sample is too long or not readable, or a loss is not finite.
        IntegrityError: the checkpoint to continue from was made with other weights.
        InterruptedRun: SIGTERM or Ctrl-C; the state is saved.
    """
    examples, held_out = example_files.read_split(part.split("train")), example_files.read_split(part.split("val"))
    if not examples:
        raise DataError(f"{part.split('train')} holds no example; there is nothing to train on.")
    deepspeed.forget()
    loaded = models.load(config)
    encoder = Encoder(loaded.processor, loaded.family, _forms.marks(_forms.settled(config)))
    form = _forms.of_model(config, loaded.processor, loaded.family)
    examples, held_out = _forms.written(examples, form), _forms.written(held_out, form)
    pictures = Pictures(encoder, source.image_root(config, run))
    lengths = _check(part, loaded, pictures, examples, held_out)
    answers = [len(encoder.answer_ids(example, example.target)) for example in examples]
    model = _adapted(config, run, part, loaded)
    arguments = _arguments(config, part, loaded)
    features = _features(config, run, loaded, model, pictures, [*examples, *held_out])
    collator = _collator(config, pictures, examples, features)
    _estimate(config, loaded, model, collator, features, examples[lengths.index(max(lengths[: len(examples)]))])
    found = _checkpoint(run, part, loaded)
    with Interruption(run.stop_file).watch() as interruption:
        trainer = AnswerTrainer(
            model,
            arguments,
            loaded=loaded,
            train=config.train,
            examples=Examples(examples),
            collator=collator,
            journal=_journal(run, part, found),
            validator=_validator(config, run, pictures, held_out, features),
            features=features,
            lengths=[whole - own for whole, own in zip(lengths, answers, strict=False)],
            interruption=interruption,
            folder=part.checkpoints,
            run=run,
        )
        trainer.run_from(found)
    done, total = trainer.state.global_step, trainer.state.max_steps
    if interruption.requested and done < total:
        raise InterruptedRun(
            f"stopped by {interruption.name} after step {done} of {total}; the state is saved and the same command "
            "continues."
        )
    values = trainer.kept()
    if not ranks.is_main():
        return []
    if trainer.given_up:
        best, after = trainer.verdict["step"], config.train.patience
        print(f"stopped: nothing better than step {best} in {after} validations", file=sys.stderr)
    files = lora.save_adapter(model, loaded, part.adapter, run, values)
    return [*files, _table(part), part.train / journal.LOG, part.train / journal.VALIDATION]


def _features(
    config: Config, run: RunDir, loaded: Loaded, model: "PeftModel", pictures: Pictures, examples: Sequence[Example]
) -> feature_cache.FeatureCache | None:
    """The cache of features; none where the tower itself is divided, for then all ranks must enter it together."""
    if ranks.world() > 1 and deepspeed.divides_weights(config.hardware.deepspeed):
        return None
    tokens = sample_checks.image_tokens(pictures.encoder, examples, pictures.root)
    with nullcontext() if ranks.is_main() else redirect_stderr(io.StringIO()):
        return feature_cache.opened(config, run, loaded, model, pictures.encoder, training=True, tokens=tokens)


def _collator(
    config: Config, pictures: Pictures, examples: Sequence[Example], features: feature_cache.FeatureCache | None
) -> Collator:
    return Collator(
        pictures.encoder,
        pictures,
        config.train.augment,
        config.seed,
        pixels=features is None,
        seeing=ranks.world() > 1 and any(example.images for example in examples),
        weights=config.train.class_weights,
        meet=features.meet if features is not None and not config.hardware.workers else None,  # a worker has no model
    )


def _estimate(
    config: Config,
    loaded: Loaded,
    model: "PeftModel",
    collator: Collator,
    features: feature_cache.FeatureCache | None,
    longest: Example,
) -> None:
    """Says how much memory the training will take, before it takes it."""
    if not ranks.is_main():
        return
    batch = collator([Item(longest, 0)])
    batch.pop("ids")
    if features is not None:
        batch = features.shown(batch, batch.pop("shown"), collator.pictures)
    size, _ = checks.split_batch_across_ranks(config.train.batch_size, config.train.accumulate, ranks.world())
    told = memory.estimate(
        model,
        batch,
        batch_size=size,
        device=loaded.device,
        trainer=config.train.trainer,
        bf16=models.precision(config, loaded.device) == "bf16",
        shards=deepspeed.shards(config.hardware.deepspeed, ranks.world()),
    )
    print(told.told(), file=sys.stderr)


def _in_bf16(config: Config, loaded: Loaded) -> bool:
    """Whether to train in bf16, said aloud; asked for where it is emulated, with what that costs."""
    chosen = models.precision(config, loaded.device)
    emulated = chosen == "bf16" and loaded.device.type == "cpu" and not cpu.multiplies_bf16()
    hint = " (this CPU has no instructions for it; train.precision=auto is about ten times as fast)" if emulated else ""
    if ranks.is_main():
        print(f"precision: {chosen}{hint}", file=sys.stderr)
    return chosen == "bf16"


def _arguments(config: Config, part: Part, loaded: Loaded) -> "TrainingArguments":
    """The library's arguments; the ranks of a job meet when they are made."""
    settings = deepspeed.settings(config.hardware.deepspeed) if ranks.world() > 1 else None
    made = training_arguments(
        config,
        output_dir=str(part.checkpoints),
        bf16=_in_bf16(config, loaded),
        on_cpu=loaded.device.type == "cpu",
        share=checks.split_batch_across_ranks(config.train.batch_size, config.train.accumulate, ranks.world()),
        deepspeed=settings,
    )
    if settings:
        deepspeed.count_ranks(made)
    return made


def _journal(run: RunDir, part: Part, found: tuple[Path, State] | None) -> journal.Journal:
    if not ranks.is_main():
        return journal.Unwritten()
    run.make(part.checkpoints)
    return journal.Journal(run, part.train, found[1].step if found else 0)


def _table(part: Part) -> Path:
    return part.train / "trainable.json"


def _check(
    part: Part, loaded: Loaded, pictures: Pictures, examples: Sequence[Example], held_out: Sequence[Example]
) -> list[int]:
    """Finds what would fail after hours, and shows what will be learned; returns the tokens of each example."""
    encoder = pictures.encoder
    lengths = sample_checks.check_lengths(encoder, [*examples, *held_out], pictures.root, loaded.model)
    if ranks.is_main():
        told = f"{len(examples)} examples, {len(held_out)} for validation, of at most {max(lengths)} tokens"
        print(f"{part.name or 'train'}: {told}", file=sys.stderr)
        sample_checks.show_supervision(encoder, examples[:SHOWN], pictures)
    return lengths


def _adapted(config: Config, run: RunDir, part: Part, loaded: Loaded) -> "PeftModel":
    """Wraps the model and writes down, and shows, what of it will train."""
    model = lora.adapt(loaded, config)
    without_graph(loaded.model, loaded.family)
    if ranks.is_main():
        rows = lora.table(model, loaded.family)
        lora.show(rows)
        for setting in unusual(config, rows):
            print(f"warning: {setting.key}: {setting.reason}", file=sys.stderr)
        run.write_json(_table(part), rows)
    return model


def _validator(
    config: Config,
    run: RunDir,
    pictures: Pictures,
    held_out: Sequence[Example],
    features: feature_cache.FeatureCache | None,
) -> Validator | None:
    if not held_out or config.train.validate == "never":
        return None
    return Validator(config, pictures.encoder, pictures, held_out, read_json(run.summary)["labels"], features)


def _checkpoint(run: RunDir, part: Part, loaded: Loaded) -> tuple[Path, State] | None:
    """The checkpoint to continue from, noted in `run.json`; one of other weights is refused."""
    # The main rank looks first, for it sets broken ones aside; what it found is what all continue from.
    found = checkpoints.newest(part.checkpoints) if ranks.is_main() else None
    place = ranks.from_main(found[0] if found else None)
    if place is None:
        return None
    found = found or checkpoints.read(place)
    state, base = found[1], models.record(loaded)
    if state.base != base:
        raise IntegrityError(
            f"{found[0]} was trained on {state.base}, but the model is {base}: the weights or the processor changed. "
            "Bring them back, or give this training another run.dir."
        )
    if ranks.is_main():
        run.update_status(resumed_from_step=state.step)
        print(f"continuing from the checkpoint of step {state.step}", file=sys.stderr)
    return found
