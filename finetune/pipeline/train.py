"""Stage 2: adapt the base model to the training examples; keep the state that was best on validation."""

import dataclasses
from pathlib import Path
from typing import Any

from finetune.config.schema import Config
from finetune.rundir import RunDir, sha256_file

_NO_MATTER = ("feature_cache", "feature_cache_max_gb")
"""Keys that change how long it takes and nothing else."""


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the result depends on: seed, model, method, optimisation and the examples.

    `evaluate.decision.metric` picked the checkpoint, and validation.jsonl says which it was; but `evaluate.*` may
    change between calls on one run, and a new question about the same answers must not train again. Nor must another
    device: what was trained on one is evaluated on the other.
    """
    parts = run.parts(config.data.folds)
    files = [part.split(name) for part in parts for name in ("train", "val")]
    files.append(run.manifest)  # the digests of the images
    return {
        "seed": config.seed,
        "model": dataclasses.asdict(config.model),
        "method": dataclasses.asdict(config.method),
        "train": {name: value for name, value in dataclasses.asdict(config.train).items() if name not in _NO_MATTER},
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
    from finetune.training import trainer_arguments

    trainer_arguments.check(config.train.trainer)
    if config.launch.kind != "local":
        from finetune.training import launcher

        return launcher.train(config, run)
    from finetune.training.fit import train_parts

    return train_parts(config, run)
