"""The floor: always the commonest training answer, with the training frequencies as probabilities."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from finetune.config.schema import Config
from finetune.data import example_files
from finetune.example import Example, Prediction
from finetune.rundir import Json, RunDir, sha256_file
from finetune.tasks import Judge, pixels_of


def identity(config: Config, run: RunDir) -> Json:
    """What the answers depend on: the training answers."""
    files = [part.split("train") for part in run.parts(config.data.folds)]
    return {file.relative_to(run.root).as_posix(): sha256_file(file) if file.exists() else None for file in files}


def predict(
    config: Config, run: RunDir, examples: Sequence[Example], images_root: Path, labels: Sequence[str]
) -> Iterator[Prediction]:
    """Answers every example with the commonest answer of its fold's training split.

    Raises:
        DataError: an image cannot be decoded.
    """
    judge = Judge(config.task, tuple(labels))
    for part, own in example_files.by_part(config, run, examples):
        yield from commonest(example_files.read_split(part.split("train")), own, images_root, judge)


def commonest(
    train: Sequence[Example], examples: Sequence[Example], images_root: Path, judge: Judge
) -> Iterator[Prediction]:
    """Answers with the commonest target among training examples that allow the same choices.

    Of equally common ones the first choice wins, of open answers the first that was seen. Images are decoded only for
    their digest, by which answers of different models are paired.

    Raises:
        DataError: an image cannot be decoded.
    """
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for example in train:
        counts[judge.choices(example)][example.target] += 1
    for example in examples:
        began = time.perf_counter()
        choices = judge.choices(example)
        seen = counts[choices]
        text = max(choices or seen, key=lambda answer: seen[answer], default="")
        total = sum(seen[choice] for choice in choices)
        yield judge.prediction(
            example,
            text,
            text if choices else judge.parse(text, example),
            image_sha256=pixels_of(images_root, example),
            probabilities={choice: seen[choice] / total for choice in choices} if total else None,
            seconds=time.perf_counter() - began,
            model="majority",
        )
