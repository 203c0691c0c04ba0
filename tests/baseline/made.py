"""A pack made up for tests: replies drawn up by a rule, and said to be so."""

from collections.abc import Callable
from pathlib import Path

from finetune.baseline import images_sent, outcomes, pack
from finetune.config.schema import Config
from finetune.data import example_files, source
from finetune.example import Example, Prediction
from finetune.rundir import RunDir

ABOUT = {
    "provider": "synthetic",
    "model_requested": "made-up-1",
    "model_returned": "made-up-1",
    "recorded_from": "2026-01-01T00:00:00Z",
    "recorded_to": "2026-01-01T00:00:01Z",
    "parameters": {},
    "pixel_policy": images_sent.policy(None),
    "prices": None,
    "recorded_by": "a test; no model was asked",
    "synthetic": True,
}


def gold_but_every_fifth(number: int, example: Example) -> str:
    """A reply in words: right, but for every fifth, which does not answer."""
    return f"Answer: {example.target}." if number % 5 else "It is hard to say."


def predictions(
    config: Config, run: RunDir, reply: Callable[[int, Example], str] = gold_but_every_fifth
) -> list[Prediction]:
    root, labels = source.image_root(config, run), example_files.labels(run)
    rows = []
    for part in run.parts(config.data.folds):
        for number, example in enumerate(example_files.read_split(part.split("test"))):
            seen = images_sent.of(example, root, None).image_sha256
            said = {"text": reply(number, example), "withheld": None, "seconds": 0.5, "model": "made-up-1"}
            rows.append(outcomes.prediction(config.task, labels, example, seen, usage=None, **said))
    return rows


def write(
    folder: Path,
    config: Config,
    run: RunDir,
    key: bytes | None = None,
    max_side: int | None = None,
    reply: Callable[[int, Example], str] = gold_but_every_fifth,
) -> Path:
    root = source.image_root(config, run)
    tests = [row for part in run.parts(config.data.folds) for row in example_files.read_split(part.split("test"))]
    sent = [[picture.sha256 for picture in images_sent.of(row, root, max_side).pictures] for row in tests]
    about = ABOUT | {"pixel_policy": images_sent.policy(max_side)}
    return pack.write(folder, about, predictions(config, run, reply), sent, key)
