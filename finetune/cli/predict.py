"""`python -m finetune predict RUN --images PATH [KEY=VALUE]...`: the tuned model of a finished run on new images.

One JSON object an image on standard output: `path` (as given), `text`, `answer`, `outcome`, `probabilities`, `seconds`;
of the task `detect` also `boxes`, xyxy pixels of the upright image. The answer is the likeliest of `probabilities`, or
what `evaluate.threshold` makes of them. A training that evened labels out (`train.balance`, `train.class_weights`)
answers as if all were as common as it made them; `probabilities_in_data` are then those under the labels' own shares.
Nobody knows the right answer of a new image, so `outcome` is null where there is an answer, else why there is none:
`unparsed` or `truncated`. KEY=VALUE replaces a setting of the run that says where or how to answer, such as
`hardware.device=cpu`, `evaluate.batch_size=1`, `evaluate.threshold=0.3` or `model.path=FOLDER`.
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from data_adapters import image_folder
from finetune import plugins
from finetune.config import compose
from finetune.config.schema import Config
from finetune.data import example_files, source, tiles
from finetune.errors import ConfigError, DataError
from finetune.evaluation import decision_units
from finetune.evaluation.pairing import Test
from finetune.example import BadRow, Example, Mode, Prediction
from finetune.images import decode
from finetune.rundir import Json, RunDir
from finetune.scoring.box_text import SCALE, UNREADABLE, from_json
from finetune.tasks import _forms

MAY_CHANGE = ("hardware.", "model.path", "evaluate.batch_size", "evaluate.positive", "evaluate.threshold")
"""Beginnings of the keys that may be replaced: everything else is what the adapter was trained with."""


class _Parser(argparse.ArgumentParser):
    """Raises our error instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        """Words what is wrong with the arguments; the usage line is the next step."""
        raise ConfigError(f"{message}\n{self.format_usage().strip()}")


def run(arguments: list[str]) -> None:
    """Answers every image below a folder, or one file, in sorted order.

    Without `--question` the labels of the run are scored, as in its evaluation. Another question is answered by greedy
    generation: the labels need not fit it.

    Raises:
        ConfigError: RUN is not a finished run, it holds one adapter a fold, or a KEY=VALUE is not for `predict`.
        DataError: there is no image, or some could not be read; raised after all others were answered.
    """
    given = _parser().parse_intermixed_args(arguments)
    run_dir = RunDir(given.run)
    if fixed := [text for text in given.overrides if not text.startswith(MAY_CHANGE)]:
        free = ", ".join(f"{name}*" if name.endswith(".") else name for name in MAY_CHANGE)
        raise ConfigError(
            f"{', '.join(fixed)}: it was trained with what its config.yaml says. predict takes {free} as KEY=VALUE."
        )
    config = compose.from_yaml(run_dir.config_file, given.overrides)
    if config.data.folds:
        raise ConfigError(
            f"{given.run} trained {config.data.folds} adapters, one a fold, to measure and not to deploy. "
            "Train one with data.folds=0 and predict with that run."
        )
    examples, bad = _readable(config, given.images)
    for name, reason in bad:
        print(f"{name}: {reason}", file=sys.stderr)
    if examples:
        root, shown = _root(given.images), _shown(given.images)
        boxed = config.task.kind == "detect" and given.question is None
        sizes = {whole.id: whole.size for example in examples if (whole := example.whole)}
        sizes |= {example.id: example.size for example in examples if example.size and not example.whole}
        for prediction in _answers(config, run_dir, root, examples, given.question):
            row = _row(shown(prediction.id), prediction)
            if boxed:
                row["boxes"] = _in_pixels(prediction.answer, sizes[prediction.id])
            print(json.dumps(row, ensure_ascii=False, allow_nan=False), flush=True)
    if bad or not examples:
        raise DataError(_complaint(given.images, len(examples), len(bad)))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m finetune predict", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", type=Path, help="directory of a finished run")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="replaces a setting of the run, see above")
    parser.add_argument("--images", metavar="PATH", type=Path, required=True, help="an image or a folder of images")
    parser.add_argument("--question", metavar="TEXT", help="ask this instead of the question that was trained")
    return parser


def _root(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _shown(path: Path) -> Callable[[str], str]:
    """The path that is printed: PATH itself for a file, else the file below it, spelled as PATH was."""
    return (lambda _: str(path)) if path.is_file() else (lambda relative: str(path / relative))


def _readable(config: Config, path: Path) -> tuple[list[Example], list[tuple[str, str]]]:
    """Decodes every image once, so that a broken one is named before any is answered.

    Frames and raw-value windows are those of the run's adapter (`data.options.frame`, `.window`).

    Returns:
        examples without a target, whose id is the path below the root; and (path, reason) of what cannot be read.
    """
    adapter, options = plugins.load("adapter", config.data.adapter), source.options(config.data)
    found: list[Example] = []
    bad: list[tuple[str, str]] = []
    shown = _shown(path)
    for item in tqdm(list(_listed(path)), "reading", unit=" images", file=sys.stderr, leave=False):
        try:
            if isinstance(item, BadRow):
                raise DataError(item.reason)
            ref = adapter.image(item, options)
            picture = decode.load(_root(path), ref)
        except DataError as error:
            bad.append((shown(item.path if isinstance(item, BadRow) else item), str(error)))
            continue
        size = (picture.height, picture.width)
        example = Example(id=item, images=(ref,), target="[]", group=item, row=item, size=size)
        cut = config.data.tiles.size is not None
        found += tiles.pieces(example, size, config.data.tiles) if cut else [example]
    return found, bad


def _listed(path: Path) -> Iterable[str | BadRow]:
    if path.is_dir():
        return image_folder.scan(path)
    if path.exists():
        return [path.name]
    raise DataError(f"--images {path}: there is nothing of that name; expected an image or a folder of images.")


def _answers(
    config: Config, run: RunDir, root: Path, examples: Sequence[Example], question: str | None
) -> Iterator[Prediction]:
    """Loads the base with its adapter once and answers in order, at the threshold that the run was judged at."""
    from finetune.models.load import RECORD
    from finetune.predictors import local

    (part,) = run.parts(0)
    if config.model.adapter is None and not (part.adapter / RECORD).is_file():
        raise ConfigError(
            f"{run.root} has no finished adapter in {part.adapter}; let its command run to the end first."
        )
    labels = example_files.labels(run)
    section = _forms.settled(config)
    task = section if question is None else dataclasses.replace(section, question=question)
    messages = plugins.load("task", task.kind).messages
    asked = [dataclasses.replace(example, messages=messages(task, labels, example)) for example in examples]
    tuned = local.opened(dataclasses.replace(config, task=task), run, part, ["tuned"], keep=False)
    mode: Mode = "score" if question is None else "generate"
    evaluate, tiled = config.evaluate, config.data.tiles.size is not None
    said = zip(tuned.predict(asked, root, mode, "tuned"), asked, strict=True)
    for _, group in itertools.groupby(said, lambda pair: pair[1].whole.id if pair[1].whole else pair[1].id):
        answered, own = zip(*group, strict=True)
        rows = decision_units.at_threshold(answered, evaluate.positive, evaluate.threshold)
        yield from _joined(rows, own, labels, config) if tiled else rows


def _joined(
    rows: Sequence[Prediction], own: tuple[Example, ...], labels: tuple[str, ...], config: Config
) -> Iterator[Prediction]:
    """The answer about an image that was asked about in tiles: there is no one text that says it."""
    positive, negative = config.evaluate.positive, config.data.tiles.empty
    test = Test(labels, own, ("",) * len(own), "accuracy", positive, config.seed, config.task.kind, negative)
    for row in decision_units.aggregate(rows, test, config.evaluate):
        yield dataclasses.replace(row, id=tiles.whole_of(row.id), text=row.answer or "")


def _row(path: str, prediction: Prediction) -> Json:
    return {
        "path": path,
        "text": prediction.text,
        "answer": prediction.answer,
        "outcome": prediction.outcome if prediction.answer is None else None,
        "probabilities": prediction.deciding,
        **_in_use(prediction),
        "seconds": round(prediction.seconds, 6),
    }


def _in_use(prediction: Prediction) -> Json:
    """Where training evened labels out: how likely each is where they are as common as in the training data."""
    return {} if prediction.even_probabilities is None else {"probabilities_in_data": prediction.probabilities}


def _in_pixels(answer: str | None, size: tuple[int, int]) -> list[Json] | None:
    """Boxes that were read, xyxy pixels of the upright image of (height, width), a hundredth of a pixel fine."""
    if answer is None:
        return None
    height, width = size
    return [
        {
            "label": placed.label,
            "box": [
                round(value / SCALE * side, 2) for value, side in zip(placed.box, (width, height) * 2, strict=True)
            ],
            **({} if placed.score is None else {"score": placed.score}),
        }
        for placed in from_json(answer)
        if placed.box != UNREADABLE
    ]


def _complaint(path: Path, answered: int, bad: int) -> str:
    if bad:
        return (
            f"{bad} of {answered + bad} files below {path} could not be read and have no answer; each is named above."
        )
    return f"{path} holds no images ({', '.join(sorted(decode.SUFFIXES))})."
