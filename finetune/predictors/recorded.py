"""Replies recorded by someone who was permitted to ask: a pack replayed without a network."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from finetune.baseline import images_sent, outcomes, pack
from finetune.config.schema import Config
from finetune.errors import ConfigError, IntegrityError
from finetune.example import Example, Prediction
from finetune.images import decode
from finetune.rundir import Json, RunDir, sha256_file
from finetune.tasks import _forms

ABOUT = "baseline.json"
"""Ending of the file beside the predictions that says how a baseline was asked."""


def folder(config: Config) -> Path:
    """The pack that `baseline.path` names.

    Raises:
        ConfigError: none is named.
    """
    if config.baseline.path is None:
        raise ConfigError("baseline=recorded replays a pack: say which with baseline.path=FOLDER.")
    return Path(config.baseline.path).expanduser()


def identity(config: Config, run: RunDir) -> Json:
    """What the predictions depend on: the two files of the pack, wherever they lie."""
    place = folder(config)
    files = {name: place / name for name in (pack.ABOUT, pack.ROWS)}
    own = {"kind": "recorded", "task": asdict(config.task)}
    return own | {name: sha256_file(file) if file.is_file() else None for name, file in files.items()}


def predict(
    config: Config, run: RunDir, examples: Sequence[Example], images_root: Path, labels: Sequence[str]
) -> Iterator[Prediction]:
    """Replays the pack, in the order of the examples; every text is parsed and judged again by this run's parser.

    Raises:
        ConfigError: there is no pack, or its key is not to be had.
        IntegrityError: the pack was altered, or is about other ids, pixels, questions, answers; names ids.
        DataError: an image cannot be decoded.
    """
    held = pack.read(folder(config))
    pack.check_ids(held, [example.id for example in examples])
    replay = _shared if held.key is not None else _full
    found = [
        replay(config, held, row, example, images_root, labels)
        for row, example in zip(held.rows, examples, strict=True)
    ]
    differing = [f"{what} of {row.id}" for row, whats in found for what in whats]
    if differing:
        raise IntegrityError(
            f"{held.folder} differs from this run in {len(differing)} places: {pack.some(differing)}. A correction of "
            "the data needs a new recording; nothing is paired that is not the same."
        )
    pack.check_untouched(held)
    run.write_json(run.eval / f"{config.baseline.name}.{ABOUT}", held.about)
    yield from (row for row, _ in found)


_Replayed = tuple[Prediction, list[str]]


def _full(config: Config, held: pack.Pack, row: Json, example: Example, root: Path, labels: Sequence[str]) -> _Replayed:
    image_sha256 = decode.digest([decode.load(root, ref) for ref in example.images])
    replayed = _judged(config, row, example, image_sha256, labels)
    names = {"gold": example.target, "question": example.question, "group": example.group}
    whats = [what for what, expected in names.items() if row[what] != expected]
    if row["image_sha256"] != image_sha256:
        whats.append("pixels")
    same_parser = row["parser"] == replayed.parser
    if not whats and same_parser and (row["answer"], row["outcome"]) != (replayed.answer, replayed.outcome):
        whats.append("answer")
    return replayed, whats


def _shared(
    config: Config, held: pack.Pack, row: Json, example: Example, root: Path, labels: Sequence[str]
) -> _Replayed:
    sent = images_sent.of(example, root, held.about["pixel_policy"]["max_side"])
    same = row["pixels_sent"] == [picture.sha256 for picture in sent.pictures]
    return _judged(config, row, example, sent.image_sha256, labels), [] if same else ["pixels"]


def _judged(config: Config, row: Json, example: Example, image_sha256: str, labels: Sequence[str]) -> Prediction:
    return outcomes.prediction(
        config.task,
        labels,
        example,
        image_sha256,
        text=row["text"],
        withheld=outcomes.withheld(row),
        seconds=row["seconds"],
        model=row["model"],
        usage=row.get("usage"),
        form=_forms.of_parser(config.task, row.get("parser", "")),
    )
