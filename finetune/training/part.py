"""The training of one part: load, check, adapt, continue or begin, keep the best state, save it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finetune import cpu, dataset, models
from finetune.config import Config
from finetune.encoding import Encoder
from finetune.errors import DataError, IntegrityError, InterruptedRun
from finetune.example import Example
from finetune.features import cache
from finetune.models import Loaded
from finetune.rundir import Part, RunDir, read_json
from finetune.training import checkpoints, journal, lora, preflight
from finetune.training.arguments import training_arguments
from finetune.training.checkpoints import State
from finetune.training.collator import Collator, Examples, Pictures
from finetune.training.frozen import without_graph
from finetune.training.interruption import Interruption
from finetune.training.sft import AnswerTrainer
from finetune.training.validation import Validator

if TYPE_CHECKING:
    from peft import PeftModel

SHOWN = 4
"""Examples whose supervised text is printed before step 1."""


def train_part(config: Config, run: RunDir, part: Part) -> list[Path]:
    """Trains on one split of the data and returns the files that it leaves.

    Raises:
        ConfigError: a target, a pixel setting or a trainer field is wrong.
        DataError: a sample is too long or not readable, or a loss is not finite.
        IntegrityError: the checkpoint to continue from was made with other weights.
        InterruptedRun: SIGTERM or Ctrl-C; the state is saved.
    """
    examples, held_out = dataset.read_split(part.split("train")), dataset.read_split(part.split("val"))
    if not examples:
        raise DataError(f"{part.split('train')} holds no example; there is nothing to train on.")
    loaded = models.load(config)
    encoder = Encoder(loaded.processor, loaded.family)
    pictures = Pictures(encoder, dataset.image_root(config, run))
    lengths = _check(part, loaded, pictures, examples, held_out)
    answers = [len(encoder.answer_ids(example, example.target)) for example in examples]
    model = _adapted(config, run, part, loaded)
    tokens = preflight.image_tokens(encoder, [*examples, *held_out], pictures.root)
    features = cache.opened(config, run, loaded, model, encoder, training=True, tokens=tokens)
    found = _checkpoint(run, part, loaded)
    with Interruption().watch() as interruption:
        trainer = AnswerTrainer(
            model,
            training_arguments(
                config,
                output_dir=str(run.make(part.checkpoints)),
                bf16=_in_bf16(config, loaded),
                on_cpu=loaded.device.type == "cpu",
            ),
            loaded=loaded,
            train=config.train,
            examples=Examples(examples),
            collator=Collator(encoder, pictures, config.train.augment, config.seed, pixels=features is None),
            journal=journal.Journal(run, part.train, found[1].step if found else 0),
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
    trainer.keep_best()
    files = lora.save_adapter(model, loaded, part.adapter, run)
    return [*files, _table(part), part.train / journal.LOG, part.train / journal.VALIDATION]


def _in_bf16(config: Config, loaded: Loaded) -> bool:
    """Whether to train in bf16, said aloud; asked for where it is emulated, with what that costs."""
    chosen = models.precision(config, loaded.device)
    emulated = chosen == "bf16" and loaded.device.type == "cpu" and not cpu.multiplies_bf16()
    hint = " (this CPU has no instructions for it; train.precision=auto is about ten times as fast)" if emulated else ""
    print(f"precision: {chosen}{hint}", file=sys.stderr)
    return chosen == "bf16"


def _table(part: Part) -> Path:
    return part.train / "trainable.json"


def _check(
    part: Part, loaded: Loaded, pictures: Pictures, examples: Sequence[Example], held_out: Sequence[Example]
) -> list[int]:
    """Finds what would fail after hours, and shows what will be learned; returns the tokens of each example."""
    encoder = pictures.encoder
    lengths = preflight.check_lengths(encoder, [*examples, *held_out], pictures.root, loaded.model)
    told = f"{len(examples)} examples, {len(held_out)} for validation, of at most {max(lengths)} tokens"
    print(f"{part.name or 'train'}: {told}", file=sys.stderr)
    preflight.show_supervision(encoder, examples[:SHOWN], pictures)
    return lengths


def _adapted(config: Config, run: RunDir, part: Part, loaded: Loaded) -> "PeftModel":
    """Wraps the model and writes down, and shows, what of it will train."""
    model = lora.adapt(loaded, config)
    without_graph(loaded.model, loaded.family)
    rows = lora.table(model, loaded.family)
    lora.show(rows)
    run.write_json(_table(part), rows)
    return model


def _validator(
    config: Config, run: RunDir, pictures: Pictures, held_out: Sequence[Example], features: cache.FeatureCache | None
) -> Validator | None:
    if not held_out or config.train.validate == "never":
        return None
    return Validator(config, pictures.encoder, pictures, held_out, read_json(run.summary)["labels"], features)


def _checkpoint(run: RunDir, part: Part, loaded: Loaded) -> tuple[Path, State] | None:
    """The checkpoint to continue from, noted in `run.json`; one of other weights is refused."""
    found = checkpoints.newest(part.checkpoints)
    if found is None:
        return None
    state, base = found[1], models.record(loaded)
    if state.base != base:
        raise IntegrityError(
            f"{found[0]} was trained on {state.base}, but the model is {base}: the weights or the processor changed. "
            "Bring them back, or give this training another run.dir."
        )
    run.update_status(resumed_from_step=state.step)
    print(f"continuing from the checkpoint of step {state.step}", file=sys.stderr)
    return found
