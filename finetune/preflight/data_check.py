"""The data of a run as `prepare` would leave it, read with patience: every bad row, and a look where splits fail."""

import dataclasses
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.config.schema import Config, SplitConfig
from finetune.data import example_files, ingest, source
from finetune.errors import DataError
from finetune.example import BadRow, Example
from finetune.images import decode
from finetune.pipeline import prepare
from finetune.preflight.problems import Problems, bad_rows
from finetune.report import wording
from finetune.rundir import Json, RunDir, read_json, read_jsonl

SHOWN_ROWS = 5
SHEET = 12
"""Pictures of a class on its contact sheet."""

SAMPLED = 400
"""Pictures whose size and brightness go into the histograms."""

_PATIENT = 10**9


@dataclass(frozen=True)
class Prepared:
    """What the data is like.

    Attributes:
        root: folder that image paths are relative to.
        summary: of `prepare`.
        bad: rows that cannot be used.
        examples: all that were kept, with their split.
        honest: whether the splits are those of the run; False where they could not be made, and all is in `train`.
    """

    root: Path
    summary: Json
    bad: Sequence[BadRow]
    examples: Sequence[Example]
    honest: bool


def read(config: Config, run: RunDir, problems: Problems) -> Prepared | None:
    """Prepares into a folder of the check; None where nothing at all could be read.

    Args:
        config: as for the run.
        run: the folder.
        problems: takes what a run would stumble over.
    """
    patient = _with(config, on_bad_row="quarantine", bad_row_limit=_PATIENT)
    once = _with(patient, folds=0, limit=None, duplicates="off", split=SplitConfig(val=0, test=0))
    for attempt, relaxed in ((patient, False), (once, True)):
        try:
            prepare.run(attempt, run)
        except DataError as error:
            if not relaxed:
                problems.errors.append(error)
            continue
        found = _found(attempt, run, not relaxed)
        _judge(config, found, problems)
        return found
    return None


def _with(config: Config, **changes: object) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))  # type: ignore[arg-type]


def _found(config: Config, run: RunDir, honest: bool) -> Prepared:
    bad = [BadRow(**row) for row in read_jsonl(run.quarantine)]
    examples: dict[str, Example] = {}
    for part in run.parts(config.data.folds):
        for name in ("train", "val", "test"):
            examples |= {example.id: example for example in example_files.read_split(part.split(name))}
    return Prepared(source.image_root(config, run), read_json(run.summary), bad, list(examples.values()), honest)


def _judge(config: Config, found: Prepared, problems: Problems) -> None:
    """Bad rows as the policy of the run sees them, and what deserves a look."""
    rows = [ingest.worded(row) for row in found.bad]
    if rows and (config.data.on_bad_row == "fail" or len(rows) > config.data.bad_row_limit):
        problems.errors.insert(0, bad_rows(len(rows), rows[:SHOWN_ROWS]))
    elif rows:
        problems.warnings.append(f"{len(rows)} rows would be set aside.")
    if found.honest:
        problems.warnings += found.summary["warnings"]
        for kind, said in (("leaks", "in more than one split"), ("conflicts", "with different labels")):
            if found.summary[kind]:
                problems.warnings.append(
                    f"{wording.many(len(found.summary[kind]), 'finding')} of equal or nearly equal images {said}. "
                    + ("Give data.group, or join their groups with data.duplicates=join."
                       if kind == "leaks" else "Look at them: a label is wrong, or the picture does not tell.")
                )  # fmt: skip
        for twin in found.summary["twin_groups"][:SHOWN_ROWS]:
            problems.warnings.append(
                f"groups {' and '.join(map(repr, twin['groups']))} share {twin['pictures']} of {twin['of']} images: "
                "one group under two names?"
            )


def sheets(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Label -> some of its examples, drawn alike every time; of open answers all together."""
    by_label: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.target].append(example)
    if len(by_label) > max(2, len(examples) // 3):
        by_label = {"": list(examples)}  # every answer is its own
    return {
        label: random.Random(label).sample(some, min(SHEET, len(some)))
        for label, some in sorted(by_label.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    }


@dataclass(frozen=True)
class Measured:
    """Numbers of a sample of pictures: longer sides in pixels, mean grey levels, and the defects' shorter sides."""

    sides: tuple[int, ...]
    greys: tuple[float, ...]
    defects: tuple[float, ...]


def measure(found: Prepared) -> Measured:
    """Decodes a sample of pictures; boxes are all looked at."""
    some = random.Random(0).sample(list(found.examples), min(SAMPLED, len(found.examples)))
    sides, greys = [], []
    for example in some:
        picture = decode.load(found.root, example.images[0])
        sides.append(max(picture.size))
        greys.append(float(np.asarray(picture.reduce(max(1, min(picture.size) // 64)).convert("L")).mean()))
    return Measured(tuple(sides), tuple(greys), tuple(sorted(_short_sides(found.examples))))


def _short_sides(examples: Sequence[Example]) -> Iterator[float]:
    for example in examples:
        yield from (min(box.x2 - box.x1, box.y2 - box.y1) for box in example.boxes or ())
