"""Answers that were made elsewhere: a CNN, an anomaly detector, a human reader, another tool's output.

One JSON object a line, as in `eval/WHO.predictions.jsonl`: `id`, and `text` or `answer`, at least. What else is there
is checked (`gold`, `question`, `group`, `image_sha256`) or taken over (`probabilities`, `seconds`, the `outcome` of a
failure).
"""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from finetune.config.schema import Config
from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.evaluation.pairing import ANSWERED, check_ids, some
from finetune.example import Example, Outcome, Prediction
from finetune.rundir import Json, RunDir, read_jsonl, sha256_file
from finetune.tasks import Judge, pixels_of

_FAILURES = tuple(name for name in get_args(Outcome) if name not in ANSWERED)


def identity(path: Path) -> Json:
    """What the answers depend on: the bytes of the file.

    Raises:
        ConfigError: there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"evaluate.models: predictions:{path}: there is no such file.")
    return {"file": sha256_file(path)}


def predict(
    config: Config,
    run: RunDir,
    examples: Sequence[Example],
    images_root: Path,
    labels: Sequence[str],
    path: Path,
    who: str,
) -> Iterator[Prediction]:
    """Reads the answers to `examples`, in their order, whatever the order of the file.

    A `text` is read by the task's parser, as every other reply; an `answer` without one is taken as it is. Nothing is
    asked, and no image is decoded that `prepare` decoded: where a row names its pixels, they must be those.

    Raises:
        DataError: a row is not in this form; names file and line.
        IntegrityError: an id is missing, double or not of this test, or gold, question, group or pixels differ.
    """
    rows = {}
    ids = []
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path} line {number}"
        _check_form(row, where)
        rows[row["id"]] = (where, row)
        ids.append(row["id"])
    wanted = [example.id for example in examples]
    order = {key: place for place, key in enumerate(wanted)}
    check_ids(who, sorted(ids, key=lambda key: order.get(key, len(order))), wanted)
    known = {row["id"]: row["pixels_sha256"] for row in read_jsonl(run.manifest)}
    pixels = {example.id: known[example.id] or pixels_of(images_root, example) for example in examples}
    _check_same(who, [row for _, row in rows.values()], {example.id: example for example in examples}, pixels)
    judge = Judge(config.task, tuple(labels))
    differing = []
    for example in examples:
        where, row = rows[example.id]
        found = _prediction(judge, example, row, where, pixels[example.id], who)
        if row.get("text") is not None and row.get("answer") not in (None, found.answer):
            differing.append(example.id)
        yield found
    if differing:
        print(
            f"evaluate: {who}: in {len(differing)} rows the parser reads another answer in `text` than `answer` says "
            f"({some(differing)}); the parser decides, as for every model.",
            file=sys.stderr,
        )


def _check_form(row: Json, where: str) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise DataError(f"{where}: expected an object with a text `id`.")
    if "text" not in row and "answer" not in row:
        raise DataError(f"{where}: has neither `text` nor `answer`; expected one of them (null = no answer).")
    for name in ("text", "answer"):
        if not isinstance(row.get(name), str | None):
            raise DataError(f"{where}: {name} is {row[name]!r}, expected text or null; write numbers as text.")


def _check_same(who: str, rows: Sequence[Json], examples: dict[str, Example], pixels: dict[str, str]) -> None:
    for name, expected in (
        ("gold", {key: example.target for key, example in examples.items()}),
        ("question", {key: example.question for key, example in examples.items()}),
        ("group", {key: example.group for key, example in examples.items()}),
        ("image_sha256", pixels),
    ):
        differing = [row["id"] for row in rows if row.get(name) not in (None, expected[row["id"]])]
        if differing:
            raise IntegrityError(
                f"predictions of {who}: {name} differs for {len(differing)} ids: {some(differing)}. "
                "They were made for another version of the data; make them again, or correct the file."
            )


def _prediction(judge: Judge, example: Example, row: Json, where: str, pixels: str, who: str) -> Prediction:
    text, answer = row.get("text"), row.get("answer")
    failure = row.get("outcome") if row.get("outcome") in _FAILURES else None
    choices = judge.choices(example)
    if text is None and answer is not None and choices and answer not in choices:
        raise DataError(f"{where}: answer {answer!r} is none of {', '.join(map(repr, choices))}.")
    closed = text is None and bool(choices)
    read = answer if closed else judge.parse(text if text is not None else answer or "", example)
    seconds = row.get("seconds")
    return judge.prediction(
        example,
        text if text is not None else answer or "",
        None if failure else read,
        outcome=failure,
        image_sha256=pixels,
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        model=str(row.get("model") or who),
        probabilities=_probabilities(row, choices, where),
    )


def _probabilities(row: Json, choices: Sequence[str], where: str) -> dict[str, float] | None:
    given = row.get("probabilities")
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != set(choices):
        raise DataError(f"{where}: probabilities must name exactly {', '.join(map(repr, choices)) or 'nothing'}.")
    if not all(isinstance(p, int | float) and 0 <= p <= 1 for p in given.values()) or not math.isclose(
        sum(given.values()), 1, abs_tol=1e-3
    ):
        raise DataError(f"{where}: probabilities must lie in 0..1 and sum to 1, got {given}.")
    return {choice: float(given[choice]) for choice in choices}
