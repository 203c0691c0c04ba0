"""A prepared run directory with a few images, for tests of the train stage; runnable, so that it can be killed."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from training import micro

from finetune.config import schema as configuration
from finetune.config.compose import to_yaml  # noqa: F401  # fails early where the package is not importable
from finetune.data import example_files
from finetune.example import ImageRef
from finetune.rundir import RunDir, sha256_file

LABELS = ["no", "yes"]


def prepare(root: Path, train: int = 10, val: int = 4) -> RunDir:
    """Writes data/ as the prepare stage does: dark pictures are "no", bright ones "yes"."""
    run = RunDir(root)
    run.make(run.images)
    for name, numbers in (("train", range(train)), ("val", range(train, train + val))):
        rows = []
        for number in numbers:
            path = f"images/{number:03d}.png"
            shade = 0.3 if number % 2 == 0 else 1.0
            micro.picture(number).point(lambda value, shade=shade: int(value * shade)).save(run.data / path)
            example = micro.example(number, LABELS[number % 2], images=1)
            rows.append(example_files.to_row(replace(example, images=(ImageRef(path),))))
        run.write_jsonl(run.data / f"{name}.jsonl", rows)
    run.write_json(run.summary, {"labels": LABELS})
    run.update_status(status="started", stages={}, resumed_from_step=None)
    return run


def config(model: Path, **train) -> configuration.Config:
    """A config of the train stage: dropout, shuffling, augmentation, accumulation on, so that all must be resumed."""
    method = configuration.MethodConfig(
        rank=4, dropout=0.2, targets=configuration.TargetsConfig("attention", "all", "all")
    )
    settings = {
        "epochs": 3.0,
        "batch_size": 2,
        "precision": "fp32",
        "accumulate": 2,
        "learning_rate": 1e-2,
        "augment": "inspection",
    }
    return configuration.Config(
        seed=3,
        data=configuration.DataConfig(adapter="synthetic"),
        task=configuration.TaskConfig(labels=tuple(LABELS)),
        model=configuration.ModelConfig(path=str(model)),
        method=method,
        train=configuration.TrainConfig(**{**settings, "checkpoint": 2, **train}),
        hardware=configuration.HardwareConfig(device="cpu", threads=1),
    )


def digests(folder: Path) -> dict[str, str]:
    """Name -> sha256 of the files of a folder."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def lines(path: Path) -> list[dict]:
    """The rows of a .jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(run: RunDir) -> list[dict]:
    """The log of the steps, without what a clock or another process decides."""
    varying = ("samples_per_s", "peak_memory_mib")
    return [
        {key: value for key, value in line.items() if key not in varying} for line in lines(run.train / "log.jsonl")
    ]


if __name__ == "__main__":
    from finetune.pipeline import train as stage

    model, root, epochs, *workers = sys.argv[1:]
    made = config(Path(model), epochs=float(epochs))
    stage.run(replace(made, hardware=replace(made.hardware, workers=int(*workers))), RunDir(Path(root)))
