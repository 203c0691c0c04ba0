"""Prediction files outside a run of ours: read strictly, paired by id, pixels and question."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.evaluation.pairing import Test, check_ids, counted, some
from finetune.example import Example, Message, Outcome, Prediction
from finetune.rundir import RunDir

SETTINGS = ("metric", "positive", "margin", "junit")
"""What may be said as KEY=VALUE to the commands that read such files."""
OPTIONAL: dict[str, Any] = {"probabilities": None, "seconds": 0.0} | dict.fromkeys(
    ("model", "parser", "image_sha256", "question", "group"), ""
)
"""Fields that another tool may leave out; `answer` may be left out where `outcome` says enough."""
CLOSED = 50
"""Different golds and answers above which they are taken for open answers, which have no metrics of classes."""


def flags(arguments: Sequence[str]) -> list[str]:
    """Writes `metric=accuracy`, the form of every other command, as `--metric=accuracy`."""
    return [f"--{word}" if word.partition("=")[0] in SETTINGS and "=" in word else word for word in arguments]


def read(path: Path) -> list[Prediction]:
    """Reads one file of predictions, in the form of `eval/WHO.predictions.jsonl`; unknown keys are ignored.

    Needed are `id`, `gold`, and `outcome` or `answer`. Where there is no outcome it follows from answer and gold.

    Raises:
        ConfigError: there is no such file.
        DataError: a line cannot be used; names it.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; expected lines as those of eval/WHO.predictions.jsonl")
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):  # of bytes: a text may hold U+2028
        try:
            row = json.loads(line.decode("utf-8"))
            json.dumps(row, ensure_ascii=False, allow_nan=False).encode()  # NaN, and half a surrogate pair
        except ValueError as error:
            raise DataError(f"{path} line {number} is not JSON in UTF-8 ({error}).") from error
        found.append(_row(row, f"{path} line {number}"))
    if not found:
        raise DataError(f"{path} is empty: there is nothing to compare.")
    return found


FORMS: dict[str, tuple[Any, str]] = {
    "id": (str, "text"),
    "gold": (str, "text"),
    "answer": (str, "text or null; write numbers as text"),
    "text": (str, "text"),
    "group": (str, "text; write numbers as text"),
    "question": (str, "text"),
    "image_sha256": (str, "text"),
    "seconds": (int | float, "a number"),
    "probabilities": (dict, "an object of label: probability"),
    "usage": (dict, "an object of numbers"),
}
"""Field -> what it may be besides null, for the check and in words."""


def _row(row: Any, where: str) -> Prediction:
    if not isinstance(row, dict):
        raise DataError(f"{where}: got {type(row).__name__}, expected an object with id, gold and answer")
    missing = [key for key in ("id", "gold") if not isinstance(row.get(key), str)]
    if missing or ("answer" not in row and "outcome" not in row):
        raise DataError(f"{where}: {', '.join(missing) or 'answer'} is missing or no text; expected id, gold, answer")
    for key, (kind, told) in FORMS.items():
        if not isinstance(row.get(key), kind | None):
            raise DataError(f"{where}: {key} is {row[key]!r}, expected {told}")
    for label, chance in (row.get("probabilities") or {}).items():
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise DataError(f"{where}: the probability of {label!r} is {chance!r}, expected a number from 0 to 1")
    answer = row.get("answer", row["gold"] if row.get("outcome") == "correct" else None)
    outcome = row.get("outcome", "unparsed" if answer is None else "correct" if answer == row["gold"] else "wrong")
    if outcome not in get_args(Outcome):
        raise DataError(f"{where}: outcome is {outcome!r}, expected one of {', '.join(get_args(Outcome))}")
    if (outcome == "wrong" and answer == row["gold"]) or (outcome == "correct" and answer is None):
        raise DataError(f"{where}: outcome is {outcome!r}, but the answer is {answer!r} and the gold {row['gold']!r}")
    names = {entry.name for entry in dataclasses.fields(Prediction)}
    known = {name: value for name, value in row.items() if name in names and value is not None}
    given = {"group": row["id"], "text": answer or ""} | OPTIONAL | known
    return Prediction(**given | {"answer": answer, "outcome": outcome})


def of(path: Path, who: str = "tuned") -> list[Prediction]:
    """The predictions that a path stands for: a file, or those of the tuned model of a run.

    Raises:
        ConfigError: it is neither.
    """
    if not path.is_dir():
        return read(path)
    file = RunDir(path).predictions(who)
    if not file.is_file():
        raise ConfigError(f"{path} holds no {file.relative_to(path)}; evaluate that run first, or give a file.")
    return read(file)


def paired(sides: Mapping[str, Sequence[Prediction]]) -> dict[str, list[Prediction]]:
    """Brings all sides into the order of the first, and checks that each item is the same item everywhere.

    What a file leaves out is not compared; groups that one file leaves out are those of another, else each its own.

    Raises:
        IntegrityError: an id is missing, double or foreign, or question, gold or pixels of an item differ; names ids.
    """
    first, wanted = next(iter(sides.items()))
    order = [row.id for row in wanted]
    known: dict[str, dict[str, str]] = {what: {} for what in ("gold", "question", "image_sha256", "group")}
    for who, rows in sides.items():
        check_ids(who, sorted(row.id for row in rows), sorted(order))
        for what, seen in known.items():
            said = {row.id: str(vars(row)[what]) for row in rows if vars(row)[what]}
            differing = [key for key, value in said.items() if seen.setdefault(key, value) != value]
            if differing:
                raise IntegrityError(
                    f"{first} and {who}: {what} differs for {len(differing)} ids: {some(differing)}. "
                    "They did not answer the same questions, so they cannot be compared."
                )
    found = {}
    for who, rows in sides.items():
        own = {row.id: row for row in rows}
        found[who] = [dataclasses.replace(own[key], group=known["group"].get(key, key)) for key in order]
    return found


def asked(sides: Mapping[str, Sequence[Prediction]], metric: str, positive: str | None) -> Test:
    """The test that paired predictions answered, as far as they say: labels are the golds and answers that occur.

    Raises:
        ConfigError: `positive` is no gold.
    """
    rows = next(iter(sides.values()))
    golds = {row.gold for row in rows}
    if positive is not None and positive not in golds:
        raise ConfigError(f"positive: got {positive!r}, expected one of the gold labels {', '.join(sorted(golds))}")
    labels = tuple(
        sorted(golds | {said for own in sides.values() for row in own if (said := counted(row)) is not None})
    )
    labels = labels if len(labels) <= CLOSED else ()
    examples = tuple(Example(row.id, (), row.gold, row.group, (Message("user", row.question),)) for row in rows)
    return Test(labels, examples, ("",) * len(rows), metric, positive, 0)
